//! Two `linux.resources`, an older one and what is to be changed of it. Pure.

use crate::spec::{
    BlockIo, Cpu, HugepageLimit, IntelRdt, Memory, Resources, ThrottleDevice, WeightDevice,
};

/// Each field named, from `new` if it is given there.
macro_rules! given {
    ($to:expr, $new:expr; $($field:ident)*) => {
        $(if $new.$field.is_some() {
            $to.$field.clone_from(&$new.$field);
        })*
    };
}

/// What `new` gives, and what `old` has beside it; device rules are those of `old`.
pub fn into(mut old: Resources, new: &Resources) -> Resources {
    if let Some(new) = &new.memory {
        memory(old.memory.get_or_insert_default(), new);
    }
    if let Some(new) = &new.cpu {
        cpu(old.cpu.get_or_insert_default(), new);
    }
    if let Some(new) = &new.pids {
        given!(old.pids.get_or_insert_default(), new; limit);
    }
    if let Some(new) = &new.block_io {
        block_io(old.block_io.get_or_insert_default(), new);
    }
    let same = |a: &HugepageLimit, b: &HugepageLimit| a.page_size == b.page_size;
    upsert(&mut old.hugepage_limits, &new.hugepage_limits, same);
    if let Some(new) = &new.network {
        let network = old.network.get_or_insert_default();
        given!(network, new; class_id);
        upsert(&mut network.priorities, &new.priorities, |a, b| a.name == b.name);
    }
    old.rdma.extend(new.rdma.clone());
    old.unified.extend(new.unified.clone());
    old
}

/// Let the configuration have the shares that the class of service was given.
pub fn schemata(rdt: &mut IntelRdt, l3_cache: Option<&String>, bandwidth: Option<&String>) {
    rdt.l3_cache_schema = l3_cache.cloned().or(rdt.l3_cache_schema.take());
    rdt.mem_bw_schema = bandwidth.cloned().or(rdt.mem_bw_schema.take());
}

fn memory(to: &mut Memory, new: &Memory) {
    given!(to, new; limit reservation swap kernel kernel_tcp swappiness disable_oom_killer
        use_hierarchy check_before_update);
}

fn cpu(to: &mut Cpu, new: &Cpu) {
    given!(to, new; shares quota burst period realtime_runtime realtime_period cpus mems idle);
}

fn block_io(to: &mut BlockIo, new: &BlockIo) {
    given!(to, new; weight leaf_weight);
    let same = |a: &WeightDevice, b: &WeightDevice| (a.major, a.minor) == (b.major, b.minor);
    upsert(&mut to.weight_device, &new.weight_device, same);
    let same = |a: &ThrottleDevice, b: &ThrottleDevice| (a.major, a.minor) == (b.major, b.minor);
    upsert(&mut to.throttle_read_bps, &new.throttle_read_bps, same);
    upsert(&mut to.throttle_write_bps, &new.throttle_write_bps, same);
    upsert(&mut to.throttle_read_iops, &new.throttle_read_iops, same);
    upsert(&mut to.throttle_write_iops, &new.throttle_write_iops, same);
}

fn upsert<T: Clone>(to: &mut Vec<T>, new: &[T], same: impl Fn(&T, &T) -> bool) {
    for item in new {
        match to.iter_mut().find(|old| same(old, item)) {
            Some(old) => old.clone_from(item),
            None => to.push(item.clone()),
        }
    }
}

/// Take out what callers write for "not given": zeros, where zero is no limit of the kernel's.
pub fn only_given(new: &mut Resources) {
    fn clear<T: Default + PartialEq>(fields: &mut [&mut Option<T>]) {
        for field in fields {
            if **field == Some(T::default()) {
                **field = None;
            }
        }
    }
    if let Some(it) = &mut new.memory {
        clear(&mut [&mut it.limit, &mut it.reservation, &mut it.swap]);
        clear(&mut [&mut it.kernel, &mut it.kernel_tcp]);
    }
    if let Some(it) = &mut new.cpu {
        clear(&mut [&mut it.quota, &mut it.realtime_runtime]);
        clear(&mut [&mut it.shares, &mut it.period, &mut it.realtime_period]);
    }
    if let Some(it) = &mut new.pids {
        clear(&mut [&mut it.limit]);
    }
    if let Some(it) = &mut new.block_io {
        clear(&mut [&mut it.weight, &mut it.leaf_weight]);
    }
}

/// Add to `new` what of `old` the kernel has to be told again together with it: a quota with its
/// period, memory with memory and swap together, shares with whether the group is idle.
pub fn complete(new: &mut Resources, old: &Resources) {
    if let Some(memory) = &mut new.memory {
        if memory.limit == Some(-1) && memory.swap.is_none() {
            // As runc and the engines have it; the kernel would refuse less swap than memory.
            memory.swap = Some(-1);
        }
        let old = old.memory.clone().unwrap_or_default();
        pair(&mut memory.limit, old.limit, &mut memory.swap, old.swap);
    }
    if let Some(cpu) = &mut new.cpu {
        let old = old.cpu.clone().unwrap_or_default();
        pair(&mut cpu.quota, old.quota, &mut cpu.period, old.period);
        match (cpu.idle, cpu.shares) {
            // An idle group takes no shares; one that ceases to be has lost those it had.
            (None, Some(1..)) => cpu.idle = old.idle,
            (Some(0), None) => cpu.shares = old.shares,
            _ => {}
        }
    }
}

fn pair<A, B>(a: &mut Option<A>, old_a: Option<A>, b: &mut Option<B>, old_b: Option<B>) {
    match (a.is_some(), b.is_some()) {
        (false, true) => *a = old_a,
        (true, false) => *b = old_b,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::json;

    fn resources(text: &str) -> Resources {
        json::read(text.as_bytes()).expect("resources")
    }

    #[test]
    fn what_is_not_given_stays() {
        let old = resources(
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
        assert_eq!(into(old, &new), expected);
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
