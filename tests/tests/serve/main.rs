//! `serve` as its clients see it: what comes out in each dialect, what is
//! refused and how, and what happens when clients or the server go away.
#![cfg(unix)]

mod access;
mod bodies;
mod client;
mod dialects;
mod forms;
mod health;
mod hybrid;
mod late_interaction;
mod leaving;
mod limits;
mod mcp;
mod not_finite;
mod refusals;
mod requests;
mod stopping;
mod wire;
