"""The one-machine stack: a real S3 server, up while somebody needs it."""
