//! How far workloads of each kind are with new pods, as `kubectl rollout status` decides it.

use ferry_model::site::WorkloadKind;
use serde_json::Value;

use crate::resources::{Standing, standing};

pub(super) fn standing_of(kind: WorkloadKind, object: &Value) -> Standing {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    if kind == WorkloadKind::Deployment {
        return standing(object);
    }
    if number("/status/observedGeneration") < number("/metadata/generation") {
        return Standing::Waits("the cluster has not taken up its last change".into());
    }
    let (wanted, updated, ready) = match kind {
        WorkloadKind::DaemonSet => (
            number("/status/desiredNumberScheduled"),
            number("/status/updatedNumberScheduled"),
            number("/status/numberAvailable"),
        ),
        _ => (
            object.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1),
            updated_replicas(object),
            number("/status/readyReplicas"),
        ),
    };
    if updated >= wanted && ready >= wanted {
        return Standing::Ready;
    }
    Standing::Waits(format!("{ready} of {wanted} pods are ready, {updated} are as they should be"))
}

/// Once all are new, Kubernetes counts them as current ones, and no longer as updated.
fn updated_replicas(object: &Value) -> u64 {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let (current, update) =
        (object.pointer("/status/currentRevision"), object.pointer("/status/updateRevision"));
    if current == update {
        number("/status/currentReplicas").max(number("/status/updatedReplicas"))
    } else {
        number("/status/updatedReplicas")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_counts_in_its_own_words() {
        let daemons = |updated: u64, available: u64| {
            json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 2, "desiredNumberScheduled": 2,
                "updatedNumberScheduled": updated, "numberAvailable": available}})
        };
        let of_daemons =
            |updated, available| standing_of(WorkloadKind::DaemonSet, &daemons(updated, available));
        assert_eq!(of_daemons(2, 2), Standing::Ready);
        assert!(
            matches!(of_daemons(1, 2), Standing::Waits(_)) && matches!(of_daemons(2, 1), Standing::Waits(_))
        );
        let set = |current: &str, updated: u64| {
            json!({"metadata": {"generation": 1}, "spec": {"replicas": 2}, "status": {"observedGeneration": 1, "readyReplicas": 2,
                "currentRevision": current, "updateRevision": "b", "currentReplicas": 2, "updatedReplicas": updated}})
        };
        let of_set = |current, updated| standing_of(WorkloadKind::StatefulSet, &set(current, updated));
        assert_eq!(of_set("b", 0), Standing::Ready);
        assert!(matches!(of_set("a", 1), Standing::Waits(_)));
        let unseen = json!({"metadata": {"generation": 2}, "spec": {"replicas": 0}, "status": {"observedGeneration": 1}});
        assert!(matches!(standing_of(WorkloadKind::StatefulSet, &unseen), Standing::Waits(_)));
    }
}
