//! An example of a message, with its bytes as they are and as they must be.

use std::fmt::Debug;

use prost::Message;

/// A message with a name and pinned bytes.
pub struct Example {
    /// For tests' output and for `PROTOCOL.md`.
    pub name: &'static str,
    /// The message's full name, such as `causeway.client.v1.Request`.
    pub kind: String,
    /// As the code encodes it.
    pub bytes: Vec<u8>,
    /// Whether these bytes decode to the same message.
    pub reads_back: bool,
    pinned: &'static str,
}

impl Example {
    /// `pinned` is hexadecimal; spaces are for the reader.
    pub fn new<M>(name: &'static str, pinned: &'static str, message: M) -> Self
    where
        M: Message + Default + PartialEq + Debug,
    {
        let bytes = message.encode_to_vec();
        let decoded = M::decode(&bytes[..]);
        Self {
            name,
            kind: proto_name::<M>(),
            reads_back: decoded.as_ref() == Ok(&message),
            bytes,
            pinned,
        }
    }

    /// The pinned bytes, without spaces.
    pub fn pinned(&self) -> String {
        self.pinned.split_whitespace().collect()
    }
}

/// `…::generated::causeway::client::v1::Request` → `causeway.client.v1.Request`.
fn proto_name<M>() -> String {
    let path = std::any::type_name::<M>();
    let (_, name) = path
        .split_once("::generated::")
        .expect("messages are generated");
    name.replace("::", ".")
}

/// Two digits a byte, without spaces.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
