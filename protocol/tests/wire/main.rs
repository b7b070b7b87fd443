//! Tests of the wire format: golden files, round trips, hostile bytes, credit.

mod credit;
mod golden;
mod hostile;
mod samples;
