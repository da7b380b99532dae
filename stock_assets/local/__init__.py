"""The one-machine stack: a real S3 server started when it is needed and stopped by its last user."""
