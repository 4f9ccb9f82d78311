//! An edge node: terminates clients at a PoP, and holds nothing that lasts.

pub mod upstream;
pub mod web;
