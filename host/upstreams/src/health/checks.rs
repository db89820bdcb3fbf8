//! What the gateway's own questions say: down after some failures, up after some
//! successes.

use tollgate_config::Active;

/// Up until it is found to be down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Checks {
    down: bool,
    /// Answers in a row that say otherwise.
    against: u32,
}

impl Checks {
    pub(super) fn is_down(self) -> bool {
        self.down
    }

    /// Takes an answer. Tells whether it changed what is known.
    pub(super) fn answered(&mut self, good: bool, settings: &Active) -> bool {
        if good != self.down {
            self.against = 0;
            return false;
        }
        self.against += 1;
        let enough = match self.down {
            true => settings.up_after,
            false => settings.down_after,
        };
        let changes = self.against >= enough;
        if changes {
            self.down = !self.down;
            self.against = 0;
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn single_answers_between_others_change_nothing() {
        let settings = Active {
            path: "/".into(),
            interval: Duration::from_secs(1),
            jitter_percent: 0,
            timeout: Duration::from_secs(1),
            down_after: 3,
            up_after: 2,
        };
        let mut checks = Checks::default();
        let mut states = String::new();
        for answer in "..xx.xxx.x..x.xx.x.xxx".chars() {
            checks.answered(answer == '.', &settings);
            states.push(if checks.is_down() { 'D' } else { 'U' });
        }
        assert_eq!(states, "UUUUUUUDDDDUUUUUUUUUUD");
    }
}
