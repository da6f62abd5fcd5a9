# A Rails application with Action Mailbox and nothing else. Database and files are in the folder HOME.

# One connection: a thread that waits for SQLite's lock would hold up the one that has it (both need Ruby's).
ENV["DATABASE_URL"] = "sqlite3:#{HOME}/mail.sqlite3?pool=1&checkout_timeout=60&timeout=60000"

require "rails"
require "active_record/railtie"
require "active_storage/engine"
require "action_mailbox/engine"

class Application < Rails::Application
  config.root = HOME
  config.load_defaults 6.1
  config.eager_load = true
  config.secret_key_base = "only for tests"
  config.logger = Logger.new($stderr)
  config.log_level = :info
  config.active_job.queue_adapter = :async
  config.active_storage.service = :local
  config.active_storage.service_configurations = { local: { service: "Disk", root: "#{HOME}/storage" } }
  config.action_mailbox.ingress = :relay

  def migrate
    ActiveRecord::Migration.verbose = false
    migrations = [ActiveStorage::Engine, ActionMailbox::Engine].map { |engine| "#{engine.root}/db/migrate" }
    ActiveRecord::MigrationContext.new(migrations, ActiveRecord::SchemaMigration).migrate
    ActiveRecord::Base.clear_active_connections!
  end
end
