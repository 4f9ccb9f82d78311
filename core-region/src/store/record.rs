//! Stored records: a version, then protobuf. A later version that cannot be read
//! by adding fields gets a new number and a migration beside it.

use prost::Message;

use super::StoreError;

/// The version that is written.
const VERSION: u8 = 1;

/// The stored form.
pub fn encode(record: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + record.encoded_len());
    bytes.push(VERSION);
    record
        .encode(&mut bytes)
        .expect("a vector has room for everything");
    bytes
}

/// Reads the stored form.
///
/// # Errors
/// [`StoreError::Record`] for damage, and for versions this build does not know.
pub fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, StoreError> {
    match bytes.split_first() {
        Some((&VERSION, body)) => M::decode(body).map_err(|e| StoreError::Record(e.to_string())),
        Some((version, _)) => Err(StoreError::Record(format!("version {version}"))),
        None => Err(StoreError::Record("empty".into())),
    }
}

#[cfg(test)]
mod tests {
    use causeway_protocol::client::Ping;

    use super::*;
    use crate::state_records::HeadRecord;

    #[test]
    fn golden_bytes() {
        let head = HeadRecord {
            seq: 5,
            ts: 300,
            messages: 2,
            last_message_ts: 0,
        };
        let bytes = encode(&head);
        assert_eq!(bytes, [1, 0x08, 5, 0x10, 0xac, 0x02, 0x18, 2]);
        assert_eq!(decode::<HeadRecord>(&bytes).unwrap(), head);
    }

    #[test]
    fn unknown_versions_and_damage_are_errors() {
        for bytes in [&[][..], &[2][..], &[1, 0xff][..]] {
            assert!(decode::<Ping>(bytes).is_err());
        }
    }
}
