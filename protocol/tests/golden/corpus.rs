//! The examples are where the fuzzers begin; see `fuzz/README.md`.

use std::path::Path;

use crate::example::Example;
use crate::{backbone, client, events, flannel, metadata};

/// With `FUZZ_CORPUS` set to a folder, writes the examples there, in one folder
/// for each fuzz target that reads them.
#[test]
fn examples_become_the_fuzzers_corpus() {
    let Some(corpus) = std::env::var_os("FUZZ_CORPUS") else {
        return;
    };
    let write = |target: &str, examples: Vec<Example>, framed: bool| {
        let folder = Path::new(&corpus).join(target);
        std::fs::create_dir_all(&folder).unwrap();
        for example in examples {
            let len = u32::try_from(example.bytes.len()).unwrap();
            let head = if framed { &len.to_be_bytes()[..] } else { &[] };
            std::fs::write(folder.join(example.name), [head, &example.bytes].concat()).unwrap();
        }
    };
    write("client_request", client::requests(), true);
    write("server_frame", client::responses(), true);
    write("server_frame", client::frames(), true);
    write("client_request", client::socket_requests(), true);
    write("client_request", metadata::requests(), true);
    write("server_frame", metadata::responses(), true);
    write("server_frame", metadata::frames(), true);
    write("client_request", events::requests(), true);
    write("server_frame", events::responses(), true);
    write("server_frame", events::frames(), true);
    write("backbone", metadata::feeds(), false);
    write("backbone", events::relays(), false);
    write("client_request", flannel::requests(), true);
    write("server_frame", flannel::responses(), true);
    write("backbone", flannel::pages(), false);
    write("backbone", backbone::connections(), false);
    write("backbone", backbone::cells(), false);
    write("backbone", backbone::directory(), false);
    write("backbone", backbone::operator(), false);
}
