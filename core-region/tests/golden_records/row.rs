//! A record with its bytes as they are and as they must be.

use std::fmt::Debug;

use causeway_core_region::store::record;
use prost::Message;

pub struct Row {
    pub name: &'static str,
    /// The record's type, without its path.
    pub kind: &'static str,
    pub pinned: String,
    pub actual: String,
    pub reads_back: bool,
}

impl Row {
    /// `pinned` is hexadecimal; spaces are for the reader.
    fn new<M>(name: &'static str, pinned: &str, bytes: &[u8], reads_back: bool) -> Self {
        let path = std::any::type_name::<M>();
        Self {
            name,
            kind: path.rsplit("::").next().unwrap_or(path),
            pinned: pinned.split_whitespace().collect(),
            actual: bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            reads_back,
        }
    }
}

/// A stored record, with its version.
pub fn row<M>(name: &'static str, pinned: &str, value: M) -> Row
where
    M: Message + Default + PartialEq + Debug,
{
    let bytes = record::encode(&value);
    let reads_back = record::decode::<M>(&bytes).is_ok_and(|read| read == value);
    Row::new::<M>(name, pinned, &bytes, reads_back)
}

/// What is sent, or kept inside of other records, and so has no version of its own.
pub fn bare<M>(name: &'static str, pinned: &str, value: M) -> Row
where
    M: Message + Default + PartialEq + Debug,
{
    let bytes = value.encode_to_vec();
    let reads_back = M::decode(&bytes[..]).as_ref() == Ok(&value);
    Row::new::<M>(name, pinned, &bytes, reads_back)
}
