//! Metadata as users know it: what they may change and how, how it is read, and what
//! changes are told as. What is beneath, and how replicas come to agree on it, is
//! in [`crate::metadata`].

pub mod facts;
mod read;
mod sync;
mod values;
pub mod view;
mod write;

pub use read::{answer, decorate};
pub use sync::changes;
pub use view::MetadataView;
pub use write::{Wish, admit, concerns, is_change, memberships, wishes};
