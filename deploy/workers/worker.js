const fs = require("node:fs"); // a worker for maildirq, see docs/workers.md
const write = process.stdout.write.bind(process.stdout);
process.stdout.write = process.stderr.write.bind(process.stderr); // console.log() writes into the log

async function work({ id, detail, path }) {
  if (!/^[0-9]{1,9}$/.test(detail)) return { type: "reject", reason: "no ticket in the recipient" };
  const folder = `${process.env.TICKETS}/${detail}`;
  if (!fs.existsSync(folder)) return { type: "retry", after: 60, reason: `there is no ticket ${detail} yet` };
  await fs.promises.copyFile(path, `${folder}/.${id}`);
  const copy = await fs.promises.open(`${folder}/.${id}`);
  await copy.sync().finally(() => copy.close());
  await fs.promises.rename(`${folder}/.${id}`, `${folder}/${id}`); // a repeat has the same id: the same file again
  return { type: "done" };
}

write('{"type":"ready","version":1}\n');
const pieces = []; // not by readline: from Node 24 on it splits at U+2028 as well, which JSON may hold
process.stdin.setEncoding("utf8").on("data", async (chunk) => {
  pieces.push(chunk);
  if (!chunk.endsWith("\n")) return;
  for (const line of pieces.splice(0).join("").split("\n")) {
    let job;
    try { job = JSON.parse(line); } catch { continue; }
    if (job?.type !== "job") continue;
    const failed = (error) => ({ type: "retry", reason: [...String(error)].slice(0, 1000).join("") });
    const answer = await work(job).catch(failed);
    write(`${JSON.stringify({ ...answer, id: job.id })}\n`);
  }
});
