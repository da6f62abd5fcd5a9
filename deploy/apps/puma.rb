environment "production"
bind "unix:///run/inbound-mail/app.sock?umask=0117"
workers 2
threads 4, 4
preload_app!
