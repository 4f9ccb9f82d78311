//! Flannel against a core that is made up, in virtual time.

mod boots;
mod keeping;
mod queries;
mod storms;
mod town;
