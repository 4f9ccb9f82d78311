//! What stays of a session that never ran.

use causeway_protocol::{CellId, client};

use super::beginning::Beginning;
use super::facts::Versions;
use super::topics::Topics;
use crate::fixture::{Node, USER};

#[tokio::test]
async fn nothing_stays_of_a_session_that_never_ran() {
    let sessions = Node::new().sessions;
    let boot = client::BootData::default();
    let (topics, first) = Topics::start(USER, &boot, &[]);
    let begin = (topics, Beginning::new(&boot, false, first));
    let feed = (sessions.feeds).join(USER.workspace(), CellId(1), &sessions.upstream);
    let quota = sessions.limits.hello(USER).unwrap();
    let versions = Versions::default();
    let session = sessions.join((USER, quota), CellId(1), feed, versions, begin);
    assert_eq!(sessions.hubs.sessions(), 1);
    drop(session);
    assert_eq!(sessions.hubs.sessions(), 0);
}
