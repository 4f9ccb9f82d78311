//! Takes encoded messages apart by their `.proto` files: one line for each
//! field, as `PROTOCOL.md` shows them.

use protox::prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

use crate::example::{Example, hex};

/// Bytes of hex in a row of `PROTOCOL.md`.
const ROW_BYTES: usize = 16;
/// Column at which notes begin.
const NOTE_COLUMN: usize = 58;

/// The messages of `proto/*.proto`.
pub struct Schema(DescriptorPool);

/// One field of an encoded message; of a field that is a message, its head.
pub struct Line {
    /// How many messages it is inside of.
    pub depth: usize,
    /// Tag, length if it has one, and value if it is no message.
    pub bytes: Vec<u8>,
    /// `MESSAGE.FIELD`, in full.
    pub field: String,
    /// What it says.
    pub note: String,
}

impl Schema {
    /// Reads the files.
    pub fn compile() -> Self {
        // Asked when it runs: the binary may have been built in another checkout.
        let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo runs this test");
        let folder = std::path::Path::new(&folder).join("proto");
        let files = protox::compile(["client.proto", "backbone.proto"], [folder]);
        let files = files.expect("the files compile");
        Self(DescriptorPool::from_file_descriptor_set(files).expect("they are complete"))
    }

    /// Every field of every message, as [`Line::field`] names them.
    pub fn fields(&self) -> impl Iterator<Item = String> + '_ {
        self.0.all_messages().flat_map(|message| {
            let fields: Vec<_> = message.fields().map(|field| name(&field)).collect();
            fields
        })
    }

    /// The names of the fields of a message that are cases of a `oneof`.
    pub fn cases(&self, message: &str) -> Vec<String> {
        let message = self.0.get_message_by_name(message).expect(message);
        let oneofs: Vec<_> = message.oneofs().collect();
        let fields = oneofs.iter().flat_map(|oneof| oneof.fields());
        fields.map(|field| field.name().to_owned()).collect()
    }

    /// The fields of an encoded message, in their order.
    pub fn lines(&self, kind: &str, bytes: &[u8]) -> Vec<Line> {
        let message = self.0.get_message_by_name(kind).expect(kind);
        let mut lines = Vec::new();
        take_apart(&message, bytes, 0, &mut lines);
        lines
    }

    /// The bytes of an example, with a space between fields.
    pub fn grouped(&self, example: &Example) -> String {
        let lines = self.lines(&example.kind, &example.bytes);
        let groups: Vec<_> = lines.iter().map(|line| hex(&line.bytes)).collect();
        groups.join(" ")
    }

    /// The frame of an example, as `PROTOCOL.md` shows it.
    pub fn annotated(&self, example: &Example) -> String {
        let len = u32::try_from(example.bytes.len()).expect("examples are short");
        let note = format!("a frame of {len} bytes: {}", short(&example.kind));
        let mut text = rows(0, &len.to_be_bytes(), &note);
        for line in self.lines(&example.kind, &example.bytes) {
            text += &rows(line.depth, &line.bytes, &line.note);
        }
        text
    }
}

fn name(field: &FieldDescriptor) -> String {
    format!("{}.{}", field.parent_message().full_name(), field.name())
}

fn short(kind: &str) -> &str {
    kind.rsplit('.').next().unwrap_or(kind)
}

fn rows(depth: usize, bytes: &[u8], note: &str) -> String {
    let indent = "  ".repeat(depth);
    let mut text = String::new();
    for (row, bytes) in bytes.chunks(ROW_BYTES).enumerate() {
        let bytes: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let bytes = format!("{indent}{}", bytes.join(" "));
        text += &match row {
            0 => format!("{bytes:NOTE_COLUMN$}# {indent}{note}\n"),
            _ => format!("{bytes}\n"),
        };
    }
    text
}

fn take_apart(message: &MessageDescriptor, mut rest: &[u8], depth: usize, lines: &mut Vec<Line>) {
    while !rest.is_empty() {
        let start = rest;
        let tag = varint(&mut rest);
        let number = u32::try_from(tag >> 3).expect("written by prost");
        let field = message.get_field(number).expect("a known field");
        let mut note = format!("{} ({number})", field.name());
        let mut inside = None;
        match tag & 7 {
            0 => note += &format!(" = {}", number_note(&field, varint(&mut rest))),
            2 => {
                let len = usize::try_from(varint(&mut rest)).expect("short");
                if let Kind::Message(kind) = field.kind() {
                    note += &format!(": {}, {len} bytes", kind.name());
                    inside = Some((kind, &rest[..len]));
                } else {
                    note += &format!(" = {}", bytes_note(&field, &rest[..len]));
                    rest = &rest[len..];
                }
            }
            other => panic!("no message has fields of wire type {other}"),
        }
        lines.push(Line {
            depth,
            bytes: start[..start.len() - rest.len()].to_vec(),
            field: name(&field),
            note,
        });
        if let Some((kind, body)) = inside {
            take_apart(&kind, body, depth + 1, lines);
            rest = &rest[body.len()..];
        }
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    prost::encoding::decode_varint(bytes).expect("written by prost")
}

fn number_note(field: &FieldDescriptor, value: u64) -> String {
    match field.kind() {
        Kind::Bool => (value != 0).to_string(),
        Kind::Enum(kind) => {
            let value = i32::try_from(value).ok().and_then(|v| kind.get_value(v));
            value.expect("a known value").name().to_owned()
        }
        _ => value.to_string(),
    }
}

fn bytes_note(field: &FieldDescriptor, bytes: &[u8]) -> String {
    match field.kind() {
        Kind::String => format!("{:?}", String::from_utf8_lossy(bytes)),
        Kind::Bytes => format!("{} bytes", bytes.len()),
        _ => format!("packed numbers, {} bytes", bytes.len()),
    }
}
