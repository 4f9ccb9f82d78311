//! What has changed since a version, for one user.

use causeway_protocol::client;
use causeway_protocol::limits::PAGE_BYTES_MAX;
use causeway_protocol::{Topic, UserId};
use prost::Message;

use super::facts::{facts, is_told};
use crate::cell::access::{Sources, Stop};
use crate::metadata::CellMetadata;
use crate::metadata::item::Item;
use crate::metadata::shard::Since;
use crate::metadata::version::Version;

/// Items that a page looks at; of such as make it too long, fewer.
const ITEMS_MAX: [usize; 3] = [500, 50, 5];

/// Answers `SyncMetadata` for somebody who has a version, and whose edge node has told
/// of what is `known`.
///
/// # Errors
/// [`Stop::Store`].
pub fn changes(
    sources: Sources<'_>,
    metadata: &CellMetadata,
    user: UserId,
    (have, known): (&Version, &Version),
) -> Result<client::MetadataPage, Stop> {
    let mut page = client::MetadataPage::default();
    for items in ITEMS_MAX {
        page = page_of(sources, metadata, user, have, items)?;
        if page.encoded_len() <= PAGE_BYTES_MAX {
            break;
        }
    }
    let mut told = have.clone();
    told.merge(known);
    page.behind = !metadata.may_get(user.workspace(), &told)?.is_empty();
    Ok(page)
}

fn page_of(
    sources: Sources<'_>,
    metadata: &CellMetadata,
    user: UserId,
    have: &Version,
    items: usize,
) -> Result<client::MetadataPage, Stop> {
    let workspace = user.workspace();
    let since = metadata.since_version(workspace, have, items)?;
    let Since::Items { items, upto, more } = since else {
        return Ok(client::MetadataPage {
            version: metadata.version(workspace)?.to_bytes(),
            start_over: true,
            ..client::MetadataPage::default()
        });
    };
    let told = items.iter().filter(|item| concerns(item, user));
    let mut changes = Vec::new();
    for (topic, facts) in facts(sources, told)? {
        if is_told(sources, user, topic)? {
            changes.push(client::MetadataPush {
                topic: Some(topic.to_wire()),
                facts,
                ..client::MetadataPush::default()
            });
        }
    }
    Ok(client::MetadataPage {
        changes,
        version: upto.to_bytes(),
        more,
        ..client::MetadataPage::default()
    })
}

/// Whether the user may be told of it: most of what there is of single users is for
/// others.
fn concerns(item: &Item, user: UserId) -> bool {
    match item.topic(user.workspace()) {
        Topic::User(of) => of == user,
        _ => true,
    }
}
