//! What happens to the processes of a team, whatever they read.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::team::{Input, Team};

impl<I: Input> Team<I> {
    /// Two to four processes; in each of eight rounds some events, and then a kill, a stop, one that leaves, or one that
    /// stands still for so long that it has lost what it had when it goes on.
    pub fn kill_and_stop(&mut self, zombie: Duration) {
        for _ in 0..2 + self.draw(3) {
            self.join();
        }
        for round in 0..8 {
            self.send(80, 12);
            let begun = self.successes();
            self.until("something is handled", |team| team.successes() > begun);
            let process = self.one();
            match (round, self.draw(4)) {
                // What it still writes, commits and deletes must be refused.
                (2, _) => self.stop_for(process, zombie),
                (_, 0) => {
                    let time = Duration::from_millis(50 + self.draw(500));
                    self.stop_for(process, time);
                }
                (_, 1) => {
                    self.leave(process);
                    self.join();
                }
                _ => {
                    self.kill(process);
                    self.join();
                }
            }
        }
    }

    /// Every half second one joins or leaves, for so long. Says how often.
    pub fn come_and_go(&mut self, time: Duration) -> u32 {
        self.join();
        self.join();
        let (begin, mut joined) = (Instant::now(), vec![]);
        let mut changes = 0_u32;
        while begin.elapsed() < time {
            self.send(10, 12);
            match joined.pop() {
                Some(process) if joined.len() == 1 || self.draw(2) == 0 => self.leave(process),
                Some(process) => {
                    joined.push(process);
                    joined.push(self.join());
                }
                None => joined.push(self.join()),
            }
            changes += 1;
            // The storm's own beat: whoever is not ready by then is overtaken by the next change.
            thread::sleep(
                (begin + changes * Duration::from_millis(500)).saturating_duration_since(Instant::now()),
            );
        }
        changes
    }

    /// Two processes, and a plan by which runs of `slow` take longer than the broker waits for a process that says nothing.
    ///
    /// # Panics
    /// When anything runs again, or two runs of an entity at once.
    pub fn run_slowly(mut self) {
        self.join();
        self.join();
        self.input.send(["slow", "e1", "slow", "e2"].map(str::to_owned).into());
        let verdict = self.finish();
        assert_eq!(verdict.runs, 4 + verdict.failures, "nothing ran again that had succeeded: {verdict:?}");
        assert_eq!((verdict.duplicates, verdict.overlaps), (0, 0));
    }

    /// Waits until nothing has succeeded for so long.
    ///
    /// # Panics
    /// When it never comes to rest.
    pub fn until_at_rest(&self, time: Duration) {
        let (begin, mut since, mut last) = (Instant::now(), Instant::now(), self.successes());
        while since.elapsed() < time {
            assert!(begin.elapsed() < Duration::from_secs(120), "it does not come to rest");
            thread::sleep(Duration::from_millis(100));
            let now = self.successes();
            if now != last {
                (since, last) = (Instant::now(), now);
            }
        }
    }
}
