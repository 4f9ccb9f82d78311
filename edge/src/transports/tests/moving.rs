//! Clients whose address changes.

use causeway_protocol::client::response;
use causeway_transport::Transport;

use super::site::Site;
use super::{entry, next_seq, send};
use crate::fixture::GENERAL;

#[tokio::test]
async fn a_client_whose_address_changes_keeps_its_session() {
    for transport in [Transport::Native, Transport::WebTransport] {
        let site = Site::serve().await;
        let (client, session) = site.let_in(transport).await;
        let queue = &site.subscriber(session).queue;
        let mut pushes = client.pushes();
        let mut asking = Box::pin(client.ask(send()));
        let mut under_way = site.node.core.most_under_way.subscribe();
        tokio::select! {
            _ = &mut asking => panic!("nothing is answered yet"),
            reached = under_way.wait_for(|reached| *reached == 1) => assert!(reached.is_ok()),
        }
        let mut seq = 0;
        let mut addresses = vec![site.client.local_addr().unwrap()];
        for _ in 0..3 {
            // On the way, and after it.
            queue.push(GENERAL, &[entry(seq + 1, 20_000)]);
            site.clients_move();
            addresses.push(site.client.local_addr().unwrap());
            assert!(client.pings().await);
            queue.push(GENERAL, &[entry(seq + 2, 20_000)]);
            for _ in 0..2 {
                seq += 1;
                assert_eq!(next_seq(&mut pushes).await, seq);
            }
        }
        site.node.core.permits.add_permits(1);
        let answer = asking.await.result;
        assert!(matches!(answer, Some(response::Result::Sent(_))));

        addresses.dedup();
        assert_eq!(addresses.len(), 4);
        assert_eq!(site.node.sessions.hubs.ids(), [session]);
        let (door, here) = (&site.doors.quic, site.doors.quic.count());
        assert_eq!((door.accepted(), here.open, here.handshakes), (1, 1, 0));
    }
}
