# config/environment.rb of an application that a worker boots, in the folder that it is started in. It keeps book: in
# `boots` of the processes that have booted, in `processed` of what its mailboxes were given.

HOME = Dir.pwd
puts "=> Booting, and saying so where answers go"

require_relative "application"

Application.config.active_job.queue_adapter = :inline # so that a mail has been processed when it is done
Application.config.action_mailbox.incinerate = false # which cannot be done inline
Rails.application.initialize!
File.open("#{HOME}/migrating", "w") do |file|
  file.flock(File::LOCK_EX) # two processes boot at the same time
  Rails.application.migrate
end

class ApplicationMailbox < ActionMailbox::Base
  routing(/^support(\+.*)?@/i => :support)
end

class SupportMailbox < ApplicationMailbox
  def process
    source = Base64.strict_encode64(inbound_email.raw_email.download)
    processed = { process: $$, message_id: inbound_email.message_id, recipients: mail.recipients, source: source }
    File.write("#{HOME}/processed", "#{processed.to_json}\n", mode: "a")
    puts "processed one"
  end
end

File.write("#{HOME}/boots", "#{$$}\n", mode: "a")
