//! What is in an encoderfile, read from any [`Source`] of bytes and checked.
//!
//! [`Payload::open`] returns a container that cannot be wrong: bounds, order,
//! gaps and hashes have been checked, and [`limits`] bounds what any count or
//! length in it may be.
#![forbid(unsafe_code)]
// What is read here is whatever somebody gave us.
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

pub mod container;
pub mod golden;
pub mod limits;
pub mod manifest;
pub mod source;
pub mod threads;
pub mod weights;

pub use container::Payload;
pub use source::Source;
pub use threads::Threads;
