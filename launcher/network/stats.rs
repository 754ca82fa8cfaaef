//! Traffic counters of a container's interfaces, in the words of runc's `events --stats`.
//!
//! Reads `/proc/PID/net/dev` (proc_pid_net(5)): no privilege, no netlink, no change of namespace.

use serde::Serialize;

use crate::error::{Error, Result};

/// One element of `network_interfaces`, named as go-runc and its callers expect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InterfaceStats {
    /// Name inside the container.
    pub name: String,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Receive errors.
    pub rx_errors: u64,
    /// Packets received and dropped.
    pub rx_dropped: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Transmit errors.
    pub tx_errors: u64,
    /// Packets dropped on their way out.
    pub tx_dropped: u64,
}

/// The interfaces that process `pid` sees, less the loopback interface.
///
/// # Errors
/// The process is gone (ENOENT, EINVAL), or the file is not what the kernel documents.
pub fn interface_stats(pid: i32) -> Result<Vec<InterfaceStats>> {
    let path = format!("/proc/{pid}/net/dev");
    let table = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, "read", &e))?;
    // The first two lines are headings.
    let mut all = Vec::new();
    for line in table.lines().skip(2) {
        let stats = parse(line)
            .ok_or_else(|| Error::new(format!("{path}: unexpected line \"{}\"", line.trim())))?;
        if stats.name != "lo" {
            all.push(stats);
        }
    }
    Ok(all)
}

fn parse(line: &str) -> Option<InterfaceStats> {
    // Names may hold colons ("eth0:1" is an alias of old), numbers do not.
    let (name, numbers) = line.rsplit_once(':')?;
    let mut numbers = numbers.split_ascii_whitespace().map(|number| number.parse().ok());
    let mut columns = [0_u64; 16];
    for column in &mut columns {
        *column = numbers.next()??;
    }
    // bytes packets errs drop fifo frame compressed multicast, then the same sent.
    let [rx_bytes, rx_packets, rx_errors, rx_dropped, _, _, _, _, sent @ ..] = columns;
    let [tx_bytes, tx_packets, tx_errors, tx_dropped, ..] = sent;
    Some(InterfaceStats {
        name: name.trim_ascii().to_owned(),
        rx_bytes,
        rx_packets,
        rx_errors,
        rx_dropped,
        tx_bytes,
        tx_packets,
        tx_errors,
        tx_dropped,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_and_its_json() {
        let line = "  eth0: 1 2 3 4 5 6 7 8 11 12 13 14 15 16 17 18";
        let json = serde_json::to_string(&parse(line).unwrap()).unwrap();
        let received = r#""RxBytes":1,"RxPackets":2,"RxErrors":3,"RxDropped":4"#;
        let sent = r#""TxBytes":11,"TxPackets":12,"TxErrors":13,"TxDropped":14"#;
        assert_eq!(json, format!(r#"{{"Name":"eth0",{received},{sent}}}"#));
    }

    #[test]
    fn malformed_lines_are_refused() {
        for line in ["", "eth0", "eth0: 1 2 3", "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 x"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn our_own_interfaces_without_loopback() {
        let own = interface_stats(std::process::id() as i32).unwrap();
        assert!(own.iter().all(|stats| stats.name != "lo" && !stats.name.is_empty()));
        let error = interface_stats(i32::MAX).unwrap_err().to_string();
        assert!(error.starts_with("/proc/2147483647/net/dev: read(2): ENOENT"), "{error}");
    }

    #[test]
    fn no_counters_cause_a_panic() {
        tiny_ce_test::fuzz("counters", &["test/fuzz/counters"], |bytes| {
            String::from_utf8_lossy(bytes).lines().for_each(|line| drop(parse(line)));
        });
    }
}
