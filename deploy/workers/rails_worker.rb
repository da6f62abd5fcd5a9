# A worker for maildirq, see docs/recipes/rails-worker.md.
answers = $stdout.dup.tap { |pipe| pipe.sync = true }
$stdout.reopen($stderr) # whatever prints from here on, the boot included, prints into the log
$stdin.set_encoding("UTF-8")
require_relative "../config/environment"

def work(job)
  return { type: "reject", reason: "larger than 25 MB" } if job["size"] > 25.megabytes
  mail = File.binread(job["path"])
  # Rails looks for recipients in the header alone, where that of a Bcc or of a list does not stand.
  mail.prepend("X-Original-To: #{job["envelope"]["to"]}\n".b) if job["envelope"]["to"]
  # It answers nil to a mail that it has: it knows a repeat by Message-ID and content.
  ActionMailbox::InboundEmail.create_and_extract_message_id!(mail)
  { type: "done" }
rescue ActiveRecord::ConnectionNotEstablished => error # any mail would fail now
  { type: "retry", outage: true, reason: "database: #{error.message}"[0, 1000] }
rescue => error
  { type: "retry", reason: "#{error.class}: #{error.message.inspect}"[0, 1000] }
end

answers.puts({ type: "ready", version: 1 }.to_json)
$stdin.each_line do |line|
  job = JSON.parse(line)
  next unless job.is_a?(Hash) && job["type"] == "job"
  answer = Rails.application.executor.wrap { work(job) } # as around a request
  answers.puts({ **answer, id: job["id"] }.to_json)
rescue JSON::ParserError => error
  puts "passed over: #{error.message}"
end
