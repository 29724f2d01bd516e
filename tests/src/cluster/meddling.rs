//! Others who change the same objects, and a server that stops in the middle.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::json;

use super::kinds::{Route, route};
use super::store::Store;

/// What stands in the way of whoever asks for changes.
#[derive(Debug, Default)]
pub(super) struct Meddling(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Replacements before which somebody else is faster.
    interferences: usize,
    /// Changes that are still carried out; all where there is none.
    left: Option<usize>,
    /// Whether somebody waits.
    holds: bool,
}

impl Meddling {
    pub(super) fn interfere(&self, count: usize) {
        self.state().interferences = count;
    }

    pub(super) fn hold_after(&self, count: usize) {
        *self.state() = State { left: Some(count), ..State::default() };
    }

    pub(super) fn holds(&self) -> bool {
        self.state().holds
    }

    pub(super) fn let_go(&self) {
        *self.state() = State::default();
    }

    /// Whether this change is to wait for ever.
    pub(super) fn is_held(&self) -> bool {
        let mut state = self.state();
        match state.left {
            None => false,
            Some(0) => {
                state.holds = true;
                true
            }
            Some(left) => {
                state.left = Some(left - 1);
                false
            }
        }
    }

    /// Whether somebody else is faster than this replacement.
    pub(super) fn interferes(&self) -> bool {
        let mut state = self.state();
        let does = state.interferences > 0;
        state.interferences = state.interferences.saturating_sub(1);
        does
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody else notes something with the object at this path.
pub(super) fn change(store: &mut Store, path: &str) {
    let Some(Route::Object(kind, namespace, name)) = route(path) else { return };
    let Ok(live) = store.get(kind, &namespace, &name) else { return };
    let seen = live["metadata"]["annotations"]["others"].as_str().map_or(0, str::len);
    let note = json!({"metadata": {"annotations": {"others": "x".repeat(seen + 1)}}});
    // Whoever looked before that is told to look again.
    let _ = store.merge(kind, &namespace, &name, &note, "others");
}
