//! Which transport it is to be: the first that gets through. They begin in their
//! order, each a little after the one before, or when that has failed everywhere.

use std::time::Duration;

use causeway_transport::{Closed, Transport};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

/// A transport that has reached nobody by then gets company.
const HEAD_START: Duration = Duration::from_secs(1);

/// The first of all that `dial` begins to succeed, or the last reason why none did.
pub(crate) async fn run<'a, T>(
    transports: &[Transport],
    dial: impl Fn(Transport) -> Vec<BoxFuture<'a, Result<T, Closed>>>,
) -> Result<T, Closed> {
    let mut to_come = transports.iter();
    let mut under_way = FuturesUnordered::new();
    let mut last = Closed::not_reached("no PoP was offered");
    while let Some(transport) = to_come.next() {
        under_way.extend(dial(*transport));
        let is_last = to_come.as_slice().is_empty();
        let head_start = sleep_until(Instant::now() + HEAD_START);
        tokio::pin!(head_start);
        loop {
            tokio::select! {
                dialled = under_way.next() => match dialled {
                    Some(Ok(reached)) => return Ok(reached),
                    Some(Err(closed)) => last = closed,
                    None => break,
                },
                () = &mut head_start, if !is_last => break,
            }
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// What becomes of a transport after so many milliseconds.
    type Fate = (Transport, u64, bool);

    /// Who wins, and after how many milliseconds.
    async fn race(fates: &[Fate]) -> (Result<Transport, Closed>, u128) {
        let transports: Vec<_> = fates.iter().map(|(transport, ..)| *transport).collect();
        let dial = |transport| {
            let of_it = fates.iter().filter(move |fate| fate.0 == transport);
            let dialing = of_it.map(|(transport, after_ms, reached)| {
                let (transport, reached) = (*transport, *reached);
                let after = Duration::from_millis(*after_ms);
                async move {
                    tokio::time::sleep(after).await;
                    match reached {
                        true => Ok(transport),
                        false => Err(Closed::not_reached(transport)),
                    }
                }
                .boxed()
            });
            dialing.collect()
        };
        let start = Instant::now();
        let winner = run(&transports, dial).await;
        (winner, start.elapsed().as_millis())
    }

    const NATIVE: Transport = Transport::Native;
    const SESSION: Transport = Transport::WebTransport;
    const SOCKET: Transport = Transport::WebSocket;

    #[tokio::test(start_paused = true)]
    async fn the_first_in_order_wins_while_it_is_quick() {
        let all = [(NATIVE, 900, true), (SESSION, 1, true), (SOCKET, 1, true)];
        assert_eq!(race(&all).await, (Ok(NATIVE), 900));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_reaches_nobody_gets_company_and_may_still_win() {
        let silent = [
            (NATIVE, 9_000, false),
            (SESSION, 9_000, false),
            (SOCKET, 5, true),
        ];
        assert_eq!(race(&silent).await, (Ok(SOCKET), 2_005));
        let late = [(NATIVE, 1_300, true), (SESSION, 400, true)];
        assert_eq!(race(&late).await, (Ok(NATIVE), 1_300));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_refusal_nobody_waits() {
        let refused = [
            (NATIVE, 10, false),
            (SESSION, 10, false),
            (SOCKET, 10, true),
        ];
        assert_eq!(race(&refused).await, (Ok(SOCKET), 30));
        let (failed, _) = race(&[(NATIVE, 1, false), (SOCKET, 7, false)]).await;
        assert_eq!(failed, Err(Closed::not_reached(SOCKET)));
        assert!(race(&[]).await.0.is_err());
    }
}
