# What Discourse and Redmine do with a mail that is posted to them, with the parameters read by Rails as they are there.
#
#   API_KEY=… ruby forms.rb FOLDER
#
# The first line that it prints is its port; it ends with its standard input. GET /mails tells what it has taken.

ENV["RAILS_ENV"] = "production"

require "rails"
require "action_controller/railtie"
require "mail"
require "puma"

class Application < Rails::Application
  config.root = ARGV.fetch(0)
  config.load_defaults 6.1
  config.eager_load = true
  config.secret_key_base = "only for tests"
  config.logger = Logger.new($stderr)
  config.log_level = :error
  routes.append do
    post "/admin/email/handle_mail", to: "discourse#handle_mail"
    post "/mail_handler", to: "redmine#index"
    get "/mails", to: "mails#index"
  end
end

Rails.application.initialize!

MAILS = Concurrent::Array.new

class DiscourseController < ActionController::API
  def handle_mail
    is_known = request.headers["Api-Key"] == ENV["API_KEY"] && request.headers["Api-Username"] == "system"
    return render json: { error_type: "invalid_access" }, status: 403 unless is_known

    MAILS << { mail: Base64.strict_encode64(Base64.strict_decode64(params.require(:email_encoded))) }
    render plain: "email has been received and is queued for processing"
  end
end

class RedmineController < ActionController::API
  def index
    unless params[:key].to_s == ENV["API_KEY"]
      denied = "Access denied. Incoming emails WS is disabled or key is invalid."
      return render plain: denied, status: 403
    end

    # A file would be none of the scalars that Redmine's Mail.new can read.
    form = params.permit(:email, issue: [:project]).to_h
    mail = Mail.new(form[:email].b)
    return head 422 if mail.from.blank? || form[:issue][:project] != "support"

    MAILS << { mail: Base64.strict_encode64(form[:email]), subject: mail.subject, text: mail.multipart? ? nil : mail.decoded }
    head 201
  end
end

class MailsController < ActionController::API
  def index
    render json: MAILS
  end
end

server = Puma::Server.new(Rails.application, Puma::Events.null, min_threads: 1, max_threads: 4)
port = server.add_tcp_listener("127.0.0.1", 0).addr[1]
server.run
$stdout.puts port
$stdout.flush
$stdin.read
