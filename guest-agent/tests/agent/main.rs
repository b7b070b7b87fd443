//! The real agent binary, on this machine's kernel, over a socket pair.

mod client;
mod files;
mod hostile;
mod init;
mod jobs;
mod run;
mod streams;
mod tty;
mod users;
