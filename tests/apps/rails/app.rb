# A Rails application with Action Mailbox and nothing else: what an application is that takes mail by its relay
# ingress, without a line about maildirq.
#
#   RAILS_INBOUND_EMAIL_PASSWORD=… ruby app.rb FOLDER
#
# Database and files are in the folder. The first line that it prints is its port; it ends with its standard input.
# GET /inbound_emails tells what it has got.

ENV["RAILS_ENV"] = "production"
HOME = File.expand_path(ARGV.fetch(0))

require_relative "application"
require "puma"

Application.routes.append { get "/inbound_emails", to: "inbound_emails#index" }
Rails.application.initialize!
Rails.application.migrate

# The name of the mailbox that has processed an inbound email, by its id.
PROCESSED = Concurrent::Map.new

class ApplicationMailbox < ActionMailbox::Base
  routing(/^support(\+.*)?@/i => :support)
  routing(/^orders@/i => :orders)

  def process
    PROCESSED[inbound_email.id] = { mailbox: self.class.name, subject: mail.subject, recipients: mail.recipients }
  end
end

class SupportMailbox < ApplicationMailbox; end
class OrdersMailbox < ApplicationMailbox; end

class InboundEmailsController < ActionController::API
  def index
    render json: ActionMailbox::InboundEmail.order(:id).map { |email|
      { message_id: email.message_id, status: email.status, source: Base64.strict_encode64(email.raw_email.download),
        **PROCESSED.fetch(email.id, {}) }
    }
  end
end

server = Puma::Server.new(Rails.application, Puma::Events.null, min_threads: 1, max_threads: 4)
port = server.add_tcp_listener("127.0.0.1", 0).addr[1]
server.run
$stdout.puts port
$stdout.flush
$stdin.read
