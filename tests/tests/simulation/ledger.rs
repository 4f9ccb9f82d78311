//! How often what happened: a run in which nothing happens proves nothing.

macro_rules! ledger {
    ($( $(#[$doc:meta])* $name:ident, )*) => {
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Ledger { $( $(#[$doc])* pub $name: u64, )* }

        impl Ledger {
            pub fn add(&mut self, other: &Self) {
                $( self.$name += other.$name; )*
            }

            /// Every count beside its name.
            pub fn counts(&self) -> Vec<(&'static str, u64)> {
                vec![ $( (stringify!($name), self.$name), )* ]
            }
        }
    };
}

ledger! {
    events,
    messages_lost,
    messages_doubled,
    messages_late,
    crashes,
    stops,
    disks_wiped,
    cuts,
    disk_stalls,
    unsynced_entries_lost,
    acknowledged,
    resends_recognised,
    delivered,
    cursor_reads,
    fresh_reads,
    candidacies,
    elections,
    failovers,
    ms_of_cells_without_a_leader,
    campaigns_after_loss,
    redirects,
    calls_given_up_for_a_new_leader,
    refused_as_unavailable,
    connections_lost,
    resumes,
    resumes_at_another_pop,
    resumes_with_reading,
    topics_joined,
    topics_left,
    holes_filled_by_edges,
    holes_filled_by_clients,
    channel_servers_moved,
    replacements,
    membership_changes,
    replicas_released,
    homecomings,
    drains,
    drains_refused,
    drains_undone,
    clients_sent_away,
    clients_moved,
}
