//! The messages of CRIU's RPC that are used here, rpc.proto of CRIU 3.17.
//!
//! The names are CRIU's; the tags are those of the protocol. Must not know what a message is for.

use prost::Message;

/// `criu_req_type`.
pub mod kind {
    /// Checkpoint.
    pub const DUMP: i32 = 1;
    /// Restore.
    pub const RESTORE: i32 = 2;
    /// Checkpoint only the memory, while the processes go on.
    pub const PRE_DUMP: i32 = 4;
    /// CRIU has reached a stage, and waits for an answer.
    pub const NOTIFY: i32 = 6;
    /// Which features CRIU and this kernel have.
    pub const FEATURE_CHECK: i32 = 9;
    /// The version of CRIU.
    pub const VERSION: i32 = 10;
}

/// `criu_req`.
#[derive(Clone, PartialEq, Message)]
pub struct RpcRequest {
    #[prost(int32, required, tag = "1")]
    pub kind: i32,
    #[prost(message, optional, tag = "2")]
    pub opts: Option<RpcOptions>,
    #[prost(bool, optional, tag = "3")]
    pub notify_success: Option<bool>,
    #[prost(message, optional, tag = "5")]
    pub features: Option<Features>,
}

/// `criu_resp`.
#[derive(Clone, PartialEq, Message)]
pub struct RpcResponse {
    #[prost(int32, required, tag = "1")]
    pub kind: i32,
    #[prost(bool, required, tag = "2")]
    pub success: bool,
    #[prost(message, optional, tag = "4")]
    pub restore: Option<Restored>,
    #[prost(message, optional, tag = "5")]
    pub notify: Option<Notify>,
    #[prost(int32, optional, tag = "7")]
    pub cr_errno: Option<i32>,
    #[prost(message, optional, tag = "8")]
    pub features: Option<Features>,
    #[prost(message, optional, tag = "10")]
    pub version: Option<Version>,
}

/// `criu_restore_resp`.
#[derive(Clone, PartialEq, Message)]
pub struct Restored {
    #[prost(int32, required, tag = "1")]
    pub pid: i32,
}

/// `criu_notify`.
#[derive(Clone, PartialEq, Message)]
pub struct Notify {
    #[prost(string, optional, tag = "1")]
    pub script: Option<String>,
    #[prost(int32, optional, tag = "2")]
    pub pid: Option<i32>,
}

/// `criu_features`.
#[derive(Clone, PartialEq, Message)]
pub struct Features {
    #[prost(bool, optional, tag = "1")]
    pub mem_track: Option<bool>,
    #[prost(bool, optional, tag = "2")]
    pub lazy_pages: Option<bool>,
}

/// `criu_version`.
#[derive(Clone, PartialEq, Message)]
pub struct Version {
    #[prost(int32, required, tag = "1")]
    pub major_number: i32,
    #[prost(int32, required, tag = "2")]
    pub minor_number: i32,
    #[prost(int32, optional, tag = "4")]
    pub sublevel: Option<i32>,
}

/// `criu_page_server_info`.
#[derive(Clone, PartialEq, Message)]
pub struct PageServer {
    #[prost(string, optional, tag = "1")]
    pub address: Option<String>,
    #[prost(int32, optional, tag = "2")]
    pub port: Option<i32>,
}

/// `inherit_fd`.
#[derive(Clone, PartialEq, Message)]
pub struct InheritFd {
    #[prost(string, required, tag = "1")]
    pub key: String,
    #[prost(int32, required, tag = "2")]
    pub fd: i32,
}

/// `cgroup_root`.
#[derive(Clone, PartialEq, Message)]
pub struct CgroupRoot {
    #[prost(string, optional, tag = "1")]
    pub ctrl: Option<String>,
    #[prost(string, required, tag = "2")]
    pub path: String,
}

/// `join_namespace`.
#[derive(Clone, PartialEq, Message)]
pub struct JoinNamespace {
    #[prost(string, required, tag = "1")]
    pub ns: String,
    #[prost(string, required, tag = "2")]
    pub ns_file: String,
}

/// `criu_opts`.
#[derive(Clone, PartialEq, Message)]
pub struct RpcOptions {
    #[prost(int32, required, tag = "1")]
    pub images_dir_fd: i32,
    #[prost(int32, optional, tag = "2")]
    pub pid: Option<i32>,
    #[prost(bool, optional, tag = "3")]
    pub leave_running: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    pub ext_unix_sk: Option<bool>,
    #[prost(bool, optional, tag = "5")]
    pub tcp_established: Option<bool>,
    #[prost(bool, optional, tag = "6")]
    pub evasive_devices: Option<bool>,
    #[prost(bool, optional, tag = "7")]
    pub shell_job: Option<bool>,
    #[prost(bool, optional, tag = "8")]
    pub file_locks: Option<bool>,
    #[prost(int32, optional, tag = "9")]
    pub log_level: Option<i32>,
    #[prost(string, optional, tag = "10")]
    pub log_file: Option<String>,
    #[prost(message, optional, tag = "11")]
    pub ps: Option<PageServer>,
    #[prost(bool, optional, tag = "12")]
    pub notify_scripts: Option<bool>,
    #[prost(string, optional, tag = "13")]
    pub root: Option<String>,
    #[prost(string, optional, tag = "14")]
    pub parent_img: Option<String>,
    #[prost(bool, optional, tag = "15")]
    pub track_mem: Option<bool>,
    #[prost(bool, optional, tag = "16")]
    pub auto_dedup: Option<bool>,
    #[prost(int32, optional, tag = "17")]
    pub work_dir_fd: Option<i32>,
    #[prost(bool, optional, tag = "18")]
    pub link_remap: Option<bool>,
    #[prost(message, repeated, tag = "25")]
    pub cg_root: Vec<CgroupRoot>,
    #[prost(bool, optional, tag = "26")]
    pub rst_sibling: Option<bool>,
    #[prost(message, repeated, tag = "27")]
    pub inherit_fd: Vec<InheritFd>,
    #[prost(bool, optional, tag = "29")]
    pub ext_sharing: Option<bool>,
    #[prost(bool, optional, tag = "30")]
    pub ext_masters: Option<bool>,
    #[prost(int32, optional, tag = "34")]
    pub manage_cgroups_mode: Option<i32>,
    #[prost(string, repeated, tag = "37")]
    pub external: Vec<String>,
    #[prost(uint32, optional, tag = "38")]
    pub empty_ns: Option<u32>,
    #[prost(message, repeated, tag = "39")]
    pub join_ns: Vec<JoinNamespace>,
    #[prost(string, optional, tag = "44")]
    pub freeze_cgroup: Option<String>,
    #[prost(bool, optional, tag = "46")]
    pub tcp_skip_in_flight: Option<bool>,
    #[prost(bool, optional, tag = "48")]
    pub lazy_pages: Option<bool>,
    #[prost(bool, optional, tag = "50")]
    pub orphan_pts_master: Option<bool>,
    #[prost(string, optional, tag = "51")]
    pub config_file: Option<String>,
    #[prost(bool, optional, tag = "52")]
    pub tcp_close: Option<bool>,
    #[prost(string, optional, tag = "53")]
    pub lsm_profile: Option<String>,
    #[prost(string, optional, tag = "63")]
    pub lsm_mount_context: Option<String>,
    #[prost(int32, optional, tag = "64")]
    pub network_lock: Option<i32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that protoc would write, derived by hand from the wire format.
    #[test]
    fn a_request_is_as_criu_reads_it() {
        let version = RpcRequest { kind: kind::VERSION, ..RpcRequest::default() };
        assert_eq!(version.encode_to_vec(), [0x08, 10]);
        let answer =
            RpcRequest { kind: kind::NOTIFY, notify_success: Some(true), ..RpcRequest::default() };
        assert_eq!(answer.encode_to_vec(), [0x08, 6, 0x18, 1]);
        let opts = RpcOptions {
            images_dir_fd: 5,
            pid: Some(300),
            leave_running: Some(false),
            external: vec!["mnt[/a]:/a".to_owned()],
            network_lock: Some(2),
            ..RpcOptions::default()
        };
        let dump = RpcRequest { kind: kind::DUMP, opts: Some(opts), ..RpcRequest::default() };
        let mut wanted = vec![0x08, 1, 0x12, 23, 0x08, 5, 0x10, 0xac, 2, 0x18, 0];
        // Fields from 16 on have keys of two bytes: 37 << 3 | 2, and 64 << 3.
        wanted.extend([0xaa, 2, 10]);
        wanted.extend(b"mnt[/a]:/a");
        wanted.extend([0x80, 4, 2]);
        assert_eq!(dump.encode_to_vec(), wanted);
    }

    #[test]
    fn a_response_is_read_whatever_else_is_in_it() {
        // type = NOTIFY, success, notify { script = "a", pid = 7 }, status (11) = 1.
        let bytes = [0x08, 6, 0x10, 1, 0x2a, 5, 0x0a, 1, b'a', 0x10, 7, 0x58, 1];
        let response = RpcResponse::decode(&bytes[..]).expect("a response");
        let notify = Notify { script: Some("a".to_owned()), pid: Some(7) };
        assert_eq!((response.kind, response.success), (kind::NOTIFY, true));
        assert_eq!(response.notify, Some(notify));
        assert!(RpcResponse::decode(&bytes[..3]).is_err());
        let failed = RpcResponse::decode(&[0x08, 1, 0x10, 0, 0x38, 52][..]).expect("a response");
        assert_eq!((failed.success, failed.cr_errno), (false, Some(52)));
    }

    #[test]
    fn every_option_survives_the_wire() {
        let opts = RpcOptions {
            images_dir_fd: 4,
            ps: Some(PageServer { address: Some("::1".to_owned()), port: Some(1) }),
            inherit_fd: vec![InheritFd { key: "pipe:[1]".to_owned(), fd: 2 }],
            cg_root: vec![CgroupRoot { ctrl: Some(String::new()), path: "/a".to_owned() }],
            join_ns: vec![JoinNamespace { ns: "uts".to_owned(), ns_file: "/b".to_owned() }],
            empty_ns: Some(0x4000_0000),
            lsm_mount_context: Some("c".to_owned()),
            ..RpcOptions::default()
        };
        assert_eq!(RpcOptions::decode(&opts.encode_to_vec()[..]), Ok(opts));
    }

    #[test]
    fn no_response_causes_a_panic() {
        tiny_ce_test::fuzz("criu", &["test/fuzz/criu"], |bytes| {
            let _ = RpcResponse::decode(bytes);
        });
    }
}
