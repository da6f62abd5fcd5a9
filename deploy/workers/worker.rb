# A worker for maildirq, see docs/workers.md.
require "json"

answers = $stdout.dup.tap { |pipe| pipe.sync = true }
$stdout.reopen($stderr) # whatever prints from here on prints into the log
$stdin.set_encoding("UTF-8")

def work(job)
  ticket, id = job.values_at("detail", "id")
  return { type: "reject", reason: "no ticket in the recipient" } unless ticket.to_s.match?(/\A[0-9]{1,9}\z/)
  folder = "#{ENV.fetch("TICKETS")}/#{ticket}"
  return { type: "retry", after: 60, reason: "there is no ticket #{ticket} yet" } unless Dir.exist?(folder)
  IO.copy_stream(job["path"], "#{folder}/.#{id}")
  File.open("#{folder}/.#{id}", &:fsync)
  File.rename("#{folder}/.#{id}", "#{folder}/#{id}") # a repeat has the same id: it is the same file again
  { type: "done" }
rescue => error
  { type: "retry", reason: error.message[0, 1000] }
end

answers.puts({ type: "ready", version: 1 }.to_json)
$stdin.each_line do |line|
  job = JSON.parse(line)
  answers.puts({ **work(job), id: job["id"] }.to_json) if job.is_a?(Hash) && job["type"] == "job"
rescue JSON::ParserError => error
  puts "passed over: #{error.message}"
end
