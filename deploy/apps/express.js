const crypto = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");
const express = require("express");

const key = Buffer.from((process.env.MAILDIRQ_SIGNING_SECRET ?? "").replace("whsec_", ""), "base64");
if (key.length < 24) throw new Error("MAILDIRQ_SIGNING_SECRET is no secret");
const folder = process.env.INBOUND_MAIL_FOLDER ?? "inbound-mail";
fs.mkdirSync(folder, { recursive: true });

function isSigned(request) {
  const [id, time, given] = ["id", "timestamp", "signature"].map((name) => request.get(`webhook-${name}`) ?? "");
  const signed = crypto.createHmac("sha256", key).update(`${id}.${time}.`).update(request.body).digest("base64");
  const expected = Buffer.from(`v1,${signed}`);
  const isExpected = (bytes) => bytes.length === expected.length && crypto.timingSafeEqual(bytes, expected);
  return Math.abs(Date.now() / 1000 - time) <= 300 && given.split(" ").map((text) => Buffer.from(text)).some(isExpected);
}

// One file for each mail, under its id: a repeat writes the same file again.
function keep(id, message) {
  const file = path.join(folder, `${id}.json`);
  fs.writeFileSync(`${file}.new`, message);
  const written = fs.openSync(`${file}.new`);
  fs.fsyncSync(written);
  fs.closeSync(written);
  fs.renameSync(`${file}.new`, file);
}

const app = express();
app.post("/inbound-mail", express.raw({ type: "application/json", limit: "48mb" }), (request, response) => {
  if (!Buffer.isBuffer(request.body) || !isSigned(request)) return response.status(401).send("not signed by our secret");
  keep(request.get("webhook-id"), request.body); // should this fail, Express answers 500, and the mail comes again
  response.sendStatus(204);
});
app.listen(process.env.PORT ?? 3000);
