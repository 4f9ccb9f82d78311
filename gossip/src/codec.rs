//! Gossip on the wire: foca's headers and member states, around protobuf
//! records of members. Each part is a tag or a length followed by its bytes.

use bytes::{Buf, BufMut};
use causeway_protocol::backbone::MemberRecord;
use foca::{Header, Message, ProbeNumber, State};
use prost::Message as _;
use thiserror::Error;

use crate::member::Member;

/// Why gossip cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CodecError {
    /// The packet has no room for it.
    #[error("no room in the packet")]
    Full,
    /// The packet ends too early, or holds what no node would write.
    #[error("not gossip")]
    Malformed,
}

/// Writes and reads gossip for foca.
#[derive(Debug, Clone, Copy)]
pub struct GossipCodec;

impl foca::Codec<Member> for GossipCodec {
    type Error = CodecError;

    fn encode_header(
        &mut self,
        header: &Header<Member>,
        mut buf: impl BufMut,
    ) -> Result<(), CodecError> {
        put_member(&header.src, &mut buf)?;
        put_u16(header.src_incarnation, &mut buf)?;
        put_member(&header.dst, &mut buf)?;
        put_message(&header.message, &mut buf)
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<Member>, CodecError> {
        Ok(Header {
            src: get_member(&mut buf)?,
            src_incarnation: get_u16(&mut buf)?,
            dst: get_member(&mut buf)?,
            message: get_message(&mut buf)?,
        })
    }

    fn encode_member(
        &mut self,
        member: &foca::Member<Member>,
        mut buf: impl BufMut,
    ) -> Result<(), CodecError> {
        put_member(member.id(), &mut buf)?;
        put_u16(member.incarnation(), &mut buf)?;
        let state = match member.state() {
            State::Alive => 0,
            State::Suspect => 1,
            State::Down => 2,
        };
        put_u8(state, &mut buf)
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<foca::Member<Member>, CodecError> {
        let id = get_member(&mut buf)?;
        let incarnation = get_u16(&mut buf)?;
        let state = match get_u8(&mut buf)? {
            0 => State::Alive,
            1 => State::Suspect,
            2 => State::Down,
            _ => return Err(CodecError::Malformed),
        };
        Ok(foca::Member::new(id, incarnation, state))
    }
}

fn put_message(message: &Message<Member>, buf: &mut impl BufMut) -> Result<(), CodecError> {
    let plain = |tag, buf| put_u8(tag, buf);
    let probe = |tag, number: ProbeNumber, buf: &mut _| {
        put_u8(tag, buf)?;
        put_u8(number, buf)
    };
    let relayed = |tag, member, number, buf: &mut _| {
        probe(tag, number, buf)?;
        put_member(member, buf)
    };
    match message {
        Message::Ping(number) => probe(1, *number, buf),
        Message::Ack(number) => probe(2, *number, buf),
        Message::PingReq {
            target,
            probe_number,
        } => relayed(3, target, *probe_number, buf),
        Message::IndirectPing {
            origin,
            probe_number,
        } => relayed(4, origin, *probe_number, buf),
        Message::IndirectAck {
            target,
            probe_number,
        } => relayed(5, target, *probe_number, buf),
        Message::ForwardedAck {
            origin,
            probe_number,
        } => relayed(6, origin, *probe_number, buf),
        Message::Announce => plain(7, buf),
        Message::Feed => plain(8, buf),
        Message::Gossip => plain(9, buf),
        Message::Broadcast => plain(10, buf),
        Message::TurnUndead => plain(11, buf),
    }
}

fn get_message(buf: &mut impl Buf) -> Result<Message<Member>, CodecError> {
    let tag = get_u8(buf)?;
    let probe_number = match tag {
        1..=6 => get_u8(buf)?,
        _ => 0,
    };
    Ok(match tag {
        1 => Message::Ping(probe_number),
        2 => Message::Ack(probe_number),
        3 => Message::PingReq {
            target: get_member(buf)?,
            probe_number,
        },
        4 => Message::IndirectPing {
            origin: get_member(buf)?,
            probe_number,
        },
        5 => Message::IndirectAck {
            target: get_member(buf)?,
            probe_number,
        },
        6 => Message::ForwardedAck {
            origin: get_member(buf)?,
            probe_number,
        },
        7 => Message::Announce,
        8 => Message::Feed,
        9 => Message::Gossip,
        10 => Message::Broadcast,
        11 => Message::TurnUndead,
        _ => return Err(CodecError::Malformed),
    })
}

fn put_member(member: &Member, buf: &mut impl BufMut) -> Result<(), CodecError> {
    let record = member.to_wire();
    let len = u16::try_from(record.encoded_len()).map_err(|_| CodecError::Full)?;
    put_u16(len, buf)?;
    record.encode(buf).map_err(|_| CodecError::Full)
}

fn get_member(buf: &mut impl Buf) -> Result<Member, CodecError> {
    let len = usize::from(get_u16(buf)?);
    if buf.remaining() < len {
        return Err(CodecError::Malformed);
    }
    let record = MemberRecord::decode(buf.copy_to_bytes(len)).map_err(|_| CodecError::Malformed)?;
    Member::from_wire(&record).ok_or(CodecError::Malformed)
}

fn put_u8(value: u8, buf: &mut impl BufMut) -> Result<(), CodecError> {
    if buf.remaining_mut() < 1 {
        return Err(CodecError::Full);
    }
    buf.put_u8(value);
    Ok(())
}

fn put_u16(value: u16, buf: &mut impl BufMut) -> Result<(), CodecError> {
    if buf.remaining_mut() < 2 {
        return Err(CodecError::Full);
    }
    buf.put_u16(value);
    Ok(())
}

fn get_u8(buf: &mut impl Buf) -> Result<u8, CodecError> {
    buf.try_get_u8().map_err(|_| CodecError::Malformed)
}

fn get_u16(buf: &mut impl Buf) -> Result<u16, CodecError> {
    buf.try_get_u16().map_err(|_| CodecError::Malformed)
}

#[cfg(test)]
mod tests {
    use foca::Codec;
    use proptest::prelude::*;

    use super::*;
    use crate::swim::tests::member;

    #[test]
    fn every_message_round_trips_and_every_cut_is_noticed() {
        let (target, origin, probe_number) = (member(3), member(4), 7);
        for message in [
            Message::Ping(probe_number),
            Message::Ack(probe_number),
            Message::PingReq {
                target: target.clone(),
                probe_number,
            },
            Message::IndirectPing {
                origin: origin.clone(),
                probe_number,
            },
            Message::IndirectAck {
                target,
                probe_number,
            },
            Message::ForwardedAck {
                origin,
                probe_number,
            },
            Message::Announce,
            Message::Feed,
            Message::Gossip,
            Message::Broadcast,
            Message::TurnUndead,
        ] {
            let header = Header {
                src: member(1),
                src_incarnation: 5,
                dst: member(2),
                message,
            };
            let mut bytes = Vec::new();
            GossipCodec.encode_header(&header, &mut bytes).unwrap();
            assert_eq!(GossipCodec.decode_header(&bytes[..]).unwrap(), header);
            for cut in 0..bytes.len() {
                assert!(GossipCodec.decode_header(&bytes[..cut]).is_err());
            }
        }
    }

    #[test]
    fn a_full_packet_is_an_error_and_not_a_panic() {
        let member = foca::Member::new(member(1), 1, State::Suspect);
        let mut small = [0u8; 40];
        let written = GossipCodec.encode_member(&member, &mut small[..]);
        assert_eq!(written, Err(CodecError::Full));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = GossipCodec.decode_header(&bytes[..]);
            let _ = GossipCodec.decode_member(&bytes[..]);
        }
    }
}
