//! How much may be on its way to a client.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn_proto::RttEstimator;

/// Never less than what any connection may begin with (RFC 9002, 7.2). Pushes are small
/// and steady: with a window below what comes in a round trip they queue up behind every
/// packet that a radio loses, although no path is full.
const WINDOW_MIN: u64 = 14_720;

/// Makes controllers of client connections: Cubic, with a window that losses do not take
/// below [`WINDOW_MIN`].
#[derive(Debug, Default)]
pub struct ClientCongestion(Arc<CubicConfig>);

impl ControllerFactory for ClientCongestion {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Floored(Arc::clone(&self.0).build(now, current_mtu)))
    }
}

struct Floored(Box<dyn Controller>);

impl Controller for Floored {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.0.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.0.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        let largest = largest_packet_num_acked;
        self.0.on_end_acks(now, in_flight, app_limited, largest);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        let persistent = is_persistent_congestion;
        self.0
            .on_congestion_event(now, sent, persistent, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.0.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.0.window().max(WINDOW_MIN)
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = self.0.metrics();
        metrics.congestion_window = self.window();
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self(self.0.clone_box()))
    }

    fn initial_window(&self) -> u64 {
        self.0.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn losses_in_every_round_trip_leave_room_for_steady_pushes() {
        let mut now = Instant::now();
        let mut controller = Arc::new(ClientCongestion::default()).build(now, 1_200);
        let cubic = |now| Arc::new(CubicConfig::default()).build(now, 1_200);
        let mut unaided = cubic(now);
        for _ in 0..50 {
            let sent = now;
            now += Duration::from_millis(100);
            controller.on_congestion_event(now, sent, false, 1_200);
            unaided.on_congestion_event(now, sent, false, 1_200);
        }
        assert!(unaided.window() < WINDOW_MIN / 2, "{}", unaided.window());
        assert_eq!(controller.window(), WINDOW_MIN);
        assert_eq!(controller.clone_box().window(), WINDOW_MIN);
    }
}
