//! Merge two `linux.resources`: the present one, and the changes that `update` is given. Pure.

use crate::spec::limits::{LIMITS, Limit};
use crate::spec::{IntelRdt, Resources};

/// Write the new shares of the class of service into the configuration.
pub fn schemata(rdt: &mut IntelRdt, l3_cache: Option<&String>, bandwidth: Option<&String>) {
    rdt.l3_cache_schema = l3_cache.cloned().or(rdt.l3_cache_schema.take());
    rdt.mem_bw_schema = bandwidth.cloned().or(rdt.mem_bw_schema.take());
}

/// Remove the values that callers write for "not given".
pub fn only_given(new: &mut Resources) {
    for limit in LIMITS {
        if limit.asked(new).is_none() {
            (limit.set)(new, None);
        }
    }
}

/// Add to `new` the values of `old` that the kernel takes only together with a new one: a quota
/// with its period, memory with the sum of memory and swap, shares with the idle flag.
pub fn complete(new: &mut Resources, old: &Resources) {
    if let Some(memory) = &mut new.memory
        && memory.limit == Some(-1)
        && memory.swap.is_none()
    {
        // As in runc and the engines; the kernel refuses a swap limit below the memory limit.
        memory.swap = Some(-1);
    }
    let given = new.clone();
    let is_given = |limit: &Limit| (limit.get)(&given).is_some();
    for limit in LIMITS.iter().filter(|limit| !is_given(limit)) {
        if LIMITS.iter().any(|it| it.with == Some(limit.field) && is_given(it))
            && let Some(value) = (limit.get)(old)
        {
            (limit.set)(new, Some(value));
        }
    }
    if let Some(cpu) = &mut new.cpu {
        let old = old.cpu.as_ref();
        match (cpu.idle, cpu.shares) {
            // An idle group refuses shares; a group that is no longer idle has lost its shares.
            (None, Some(1..)) => cpu.idle = old.and_then(|it| it.idle),
            (Some(0), None) => cpu.shares = old.and_then(|it| it.shares),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::json;
    use crate::spec::limits::Merge;

    fn resources(text: &str) -> Resources {
        json::read(text.as_bytes()).expect("resources")
    }

    #[test]
    fn what_is_not_given_stays() {
        let mut old = resources(
            r#"{"devices": [{"allow": false}], "memory": {"limit": 64, "swap": 128},
                "cpu": {"quota": 1000, "cpus": "0"}, "pids": {"limit": 7},
                "blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1},
                                                      {"major": 8, "minor": 16, "rate": 2}]},
                "hugepageLimits": [{"pageSize": "2MB", "limit": 1}], "unified": {"a.b": "1"}}"#,
        );
        let new = resources(
            r#"{"memory": {"limit": 96}, "cpu": {"period": 5000}, "pids": {},
                "blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 16, "rate": 3}]},
                "hugepageLimits": [{"pageSize": "1GB", "limit": 2}], "unified": {"a.c": "2"}}"#,
        );
        let expected = resources(
            r#"{"devices": [{"allow": false}], "memory": {"limit": 96, "swap": 128},
                "cpu": {"quota": 1000, "period": 5000, "cpus": "0"}, "pids": {"limit": 7},
                "blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1},
                                                      {"major": 8, "minor": 16, "rate": 3}]},
                "hugepageLimits": [{"pageSize": "2MB", "limit": 1},
                                   {"pageSize": "1GB", "limit": 2}],
                "unified": {"a.b": "1", "a.c": "2"}}"#,
        );
        old.merge(&new);
        assert_eq!(old, expected);
    }

    #[test]
    fn zeros_are_not_given() {
        let mut wanted = resources(
            r#"{"memory": {"limit": 0, "swap": -1, "swappiness": 0},
                "cpu": {"quota": 0, "shares": 0, "burst": 0, "idle": 0}, "pids": {"limit": 0},
                "blockIO": {"weight": 0}}"#,
        );
        only_given(&mut wanted);
        let expected = resources(
            r#"{"memory": {"swap": -1, "swappiness": 0}, "cpu": {"burst": 0, "idle": 0},
                "pids": {}, "blockIO": {}}"#,
        );
        assert_eq!(wanted, expected);
    }

    #[test]
    fn what_belongs_together_is_told_together() {
        let old = resources(
            r#"{"memory": {"limit": 64, "swap": 128, "reservation": 1},
                "cpu": {"quota": 1000, "period": 5000, "shares": 512, "idle": 1, "cpus": "0"}}"#,
        );
        for (new, expected) in [
            (r#"{"memory": {"limit": 96}}"#, r#"{"memory": {"limit": 96, "swap": 128}}"#),
            (r#"{"memory": {"swap": 96}}"#, r#"{"memory": {"limit": 64, "swap": 96}}"#),
            (r#"{"memory": {"limit": -1}}"#, r#"{"memory": {"limit": -1, "swap": -1}}"#),
            (r#"{"memory": {"reservation": 2}}"#, r#"{"memory": {"reservation": 2}}"#),
            (r#"{"cpu": {"quota": 2000}}"#, r#"{"cpu": {"quota": 2000, "period": 5000}}"#),
            (r#"{"cpu": {"period": 7000}}"#, r#"{"cpu": {"quota": 1000, "period": 7000}}"#),
            (r#"{"cpu": {"shares": 8}}"#, r#"{"cpu": {"shares": 8, "idle": 1}}"#),
            (r#"{"cpu": {"idle": 0}}"#, r#"{"cpu": {"shares": 512, "idle": 0}}"#),
            (r#"{"cpu": {"idle": 1}}"#, r#"{"cpu": {"idle": 1}}"#),
            (r#"{"cpu": {"cpus": "1"}}"#, r#"{"cpu": {"cpus": "1"}}"#),
        ] {
            let mut wanted = resources(new);
            complete(&mut wanted, &old);
            assert_eq!(wanted, resources(expected), "{new}");
        }
    }
}
