//! Link init as a freestanding program. The launcher links the library of this crate in the
//! ordinary way, so these arguments are set for the program only.

fn main() {
    println!("cargo::rerun-if-changed=link.ld");
    if std::env::var_os("CARGO_FEATURE_MACHINE").is_none() {
        return;
    }
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let script = format!("-Wl,--gc-sections,--build-id=none,-T,{here}/link.ld");
    for argument in ["-nostdlib", "-nostartfiles", "-static", "-no-pie", &script] {
        println!("cargo::rustc-link-arg-bin=tiny-ce-init={argument}");
    }
}
