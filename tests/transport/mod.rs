//! The transport as strangers meet it: over a real port, in every way that is allowed and most that are not.

mod abuse;
mod audit;
mod events;
mod harness;
mod hostile;
mod http;
mod realtime;
mod socket;
mod stop;
mod upload;
