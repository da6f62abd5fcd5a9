require "tempfile"

class InboundMail
  FOLDER = ENV.fetch("INBOUND_MAIL_FOLDER")

  def self.call(env)
    id = env["HTTP_WEBHOOK_ID"].to_s
    return [400, {}, ["no mail\n"]] unless id.match?(/\A\w+\z/)

    keep(id, env["rack.input"]) # should this fail, Puma answers 500, and the mail comes again
    [204, {}, []]
  end

  # One file for each mail, under its id: a repeat writes the same file again.
  def self.keep(id, mail)
    Tempfile.create([".#{id}", ".new"], FOLDER) do |file|
      IO.copy_stream(mail, file.binmode)
      file.fsync
      File.rename(file.path, File.join(FOLDER, "#{id}.eml"))
    end
    File.open(FOLDER, &:fsync)
  end
end

run InboundMail
