//! The Chinese of the report's sentences.
//!
//! Knows sentences only. Steps of .ci/run that are not here stay English.

/// The Chinese of a sentence, which has a row.
pub fn of(english: &str) -> &'static str {
    find(english).unwrap_or_else(|| panic!("no Chinese for {english:?}"))
}

/// The Chinese of a sentence, if it has a row.
pub fn find(english: &str) -> Option<&'static str> {
    TABLE.iter().find(|(say, _)| *say == english).map(|(_, chinese)| *chinese)
}

const TABLE: &[(&str, &str)] = &[
    ("", ""),
    ("{}", "{}"),
    ("Report", "测试报告"),
    // Sections.
    (
        crate::INTRODUCTION,
        "本页由 `cargo run --example report` 生成：它在下面这台机器上逐条执行本页的命令，并记下\
        输出。实际执行时，容器的名字带有前缀，`tiny-ce` 带有单独的 `--root`，这里都省略了。",
    ),
    (crate::SUMMARY, "结论：成立 {} 项，不成立 {} 项，本机无法验证 {} 项。"),
    ("The machine", "机器"),
    ("The forerunner's experiments", "前身的实验"),
    (crate::FORERUNNER, "tiny-ce 的前身在 2022 年的测试报告里展示过的内容，重新做一遍。"),
    ("The promises", "承诺"),
    (crate::PROMISED, "README 里的承诺，其中几项当场演示。"),
    ("Ways out that are closed", "逃逸途径均被封住"),
    (
        crate::ESCAPES,
        "针对启动器和宿主机的攻击。全部攻击在 `test/escape` 里，它还在每一个系统调用处\
        调换文件名。",
    ),
    ("Beside runc and crun", "与 runc、crun 对照"),
    (
        crate::PARITY,
        "随机组成的同一份 config.json，分别交给 tiny-ce、runc 和 crun：三者都能运行时，\
        程序看到的完全相同。",
    ),
    ("The benchmark", "性能"),
    (
        crate::COSTS,
        "`cargo bench` 测量整个进程。floor 是一个最简程序，只用系统调用做出同样的容器；\
        whole floor 还要创建控制组、写状态文件。",
    ),
    ("Kernels", "内核"),
    ("Engines", "容器引擎"),
    ("Pictures", "图"),
    // Verdicts.
    ("held", "成立"),
    ("not held", "不成立"),
    ("not here: {}", "本机无法验证：{}"),
    ("verdict", "结论"),
    ("it needs root", "需要 root"),
    ("there is no `{}`", "没有 `{}`"),
    ("`.ci/peers` has not fetched {}", "`.ci/peers` 还没有取得 {}"),
    ("`.ci/peers` has not fetched runc and crun", "`.ci/peers` 还没有取得 runc 和 crun"),
    ("`.ci/rootfs` has not made `target/rootfs`", "`.ci/rootfs` 还没有做出 `target/rootfs`"),
    ("`criu check` does not pass", "`criu check` 没有通过"),
    ("not run this time", "这次没有运行"),
    (
        "Not measured this time: `{}` takes what `.ci/run` has printed.",
        "这次没有测量：`{}` 可以读入 `.ci/run` 打印的内容。",
    ),
    ("Not measured this time: `{}`.", "这次没有测量：`{}`。"),
    ("left behind: {}", "有残余：{}"),
    // Heads of tables, and facts.
    ("experiment", "实验"),
    ("what came out", "结果"),
    ("picture", "图"),
    ("fact", "项目"),
    ("here", "本机"),
    ("made on", "生成日期"),
    ("tiny-ce", "tiny-ce"),
    ("kernel", "内核"),
    ("cgroups", "控制组"),
    ("systemd is process 1", "1 号进程是 systemd"),
    ("distribution", "发行版"),
    ("processors", "处理器"),
    ("memory", "内存"),
    ("runc", "runc"),
    ("crun", "crun"),
    ("compiler", "编译器"),
    ("promise", "承诺"),
    ("test", "测试"),
    ("tests passed", "通过的测试"),
    ("step", "步骤"),
    ("test programs", "测试程序"),
    ("engine", "引擎"),
    ("version", "版本"),
    ("tests with tiny-ce", "用 tiny-ce 的测试"),
    ("with runc", "用 runc 的测试"),
    ("composed at random", "随机组成"),
    ("run by all three", "三者都能运行"),
    ("program", "程序"),
    ("`run`, alone", "单独 `run`"),
    ("in a burst", "连续 `run`"),
    ("CPU", "处理器时间"),
    ("CPU against the whole floor", "处理器时间与 whole floor 之比"),
    ("page faults", "缺页次数"),
    ("CPU among 1,000 mounts", "有 1,000 个挂载时的处理器时间"),
    ("create, start, delete", "create、start、delete"),
    ("`exec`", "`exec`"),
    ("containers a second, 1 caller", "每秒容器数，1 个调用者"),
    ("8 callers", "8 个调用者"),
    ("32 callers", "32 个调用者"),
    ("containers", "容器数"),
    ("`list`", "`list`"),
    ("`state`", "`state`"),
    ("CPU of the last creates, to the first", "最后与最初几次 create 的处理器时间之比"),
    ("mark", "指标"),
    ("measured", "实测"),
    ("at most", "上限"),
    ("run, CPU against the whole floor", "run，处理器时间与 whole floor 之比"),
    ("run, CPU against crun", "run，处理器时间与 crun 之比"),
    ("create+start+delete, CPU against crun", "create+start+delete，处理器时间与 crun 之比"),
    ("exec, CPU against crun", "exec，处理器时间与 crun 之比"),
    ("run, page faults of all processes", "run，所有进程的缺页次数"),
    ("Medians of {} turns; times in ms.", "{} 轮的中位数；时间单位是毫秒。"),
    // The forerunner's experiments.
    ("A shell of another distribution", "另一个发行版的 shell"),
    ("inside {}, outside {}", "里面是 {}，外面是 {}"),
    ("The program is process 1, and sees no other", "程序是 1 号进程，看不到别的进程"),
    ("{} process, `ps` itself, with the number 1", "{} 个进程，就是 `ps` 自己，进程号为 1"),
    ("A host name of its own", "独立的主机名"),
    ("inside `{}`; outside as before", "里面是 `{}`；外面没有变化"),
    ("A message queue is seen inside only", "消息队列只在里面可见"),
    ("queues inside: {}, outside: {}", "里面的队列：{}，外面：{}"),
    ("A user namespace of its own", "独立的用户命名空间"),
    ("another inode, and user 1000 is root inside", "inode 不同，用户 1000 在里面是 root"),
    ("Two containers ping each other", "两个容器互相 ping 通"),
    ("{} % and {} % of 11 pings lost", "11 次 ping 分别丢失 {} % 和 {} %"),
    ("CPU shares of three to one", "处理器份额三比一"),
    ("{} : {} of their time; expected {} : {}", "实际占用 {} : {}；应为 {} : {}"),
    ("no account of CPU time", "读不到处理器时间"),
    ("A quota of a tenth of a CPU", "配额为十分之一个处理器"),
    ("{} % of a CPU", "占一个处理器的 {} %"),
    ("A limit of memory, and the report of an OOM kill", "内存限制，以及内存耗尽的报告"),
    ("status 137, and a warning that names the limit", "退出状态 137，警告写明是哪个限制"),
    ("Limits of memory and swap are the kernel's", "内存和交换空间的限制写进了内核"),
    ("the kernel's files have them", "内核的文件里有这些数值"),
    // The promises.
    ("What `explain` prints, `strace` sees", "`explain` 打印的，就是 `strace` 看到的"),
    ("{} calls of six kinds, as many in both", "六种调用共 {} 个，两边一样多"),
    ("One error lists all mistakes of a config.json", "一条错误信息列出 config.json 的全部错误"),
    ("{} of 3 mistakes, with line and column", "3 处错误列出 {} 处，带行号和列号"),
    (
        "An error names field, system call and errno, and nothing is left",
        "错误信息写明属性、系统调用和错误号，而且没有残余",
    ),
    ("the field, the call, the errno; no container is left", "属性、调用、错误号；没有留下容器"),
    ("SIGKILL during `run`, and `delete --force`", "`run` 途中被 SIGKILL，然后 `delete --force`"),
    (
        "killed at {} of its {} system calls: nothing left after {}",
        "在它的 {} 个系统调用处（共 {} 个）被杀死：{} 次之后没有残余",
    ),
    // Ways out.
    ("An image whose /proc is a link", "镜像的 /proc 是符号链接"),
    ("refused, and the error names the link", "被拒绝，错误信息指出这个链接"),
    ("A volume onto a link that leads out of the image", "卷的目标是通向镜像之外的链接"),
    (
        "the link is resolved inside; the host's `/tmp` is untouched",
        "链接在镜像内部解析；宿主机的 `/tmp` 没有变化",
    ),
    ("A working directory through a descriptor of the launcher", "借启动器的描述符进入工作目录"),
    ("{} descriptors, none leads anywhere", "试了 {} 个描述符，没有一个通向外面"),
    ("Root inside reaches for the kernel", "容器里的 root 伸手够内核"),
    ("{} of 5 are refused", "5 项中有 {} 项被拒绝"),
    // Pictures.
    ("Where the time of one `run` went", "一次 `run` 的时间用在哪里"),
    ("The world of the container of `runc spec`", "`runc spec` 的容器所处的世界"),
    ("Two containers on a network", "一个网络上的两个容器"),
    ("What a container costs under each program", "各个程序运行一个容器的开销"),
    ("explain --analyze", "explain --analyze"),
    ("explain", "explain"),
    ("network show", "network show"),
    // Steps of .ci/run.
    ("tests with the engines of today", "用当前版本的容器引擎"),
    ("tests on this machine", "在本机上"),
    ("input that nobody wrote", "随机输入"),
    ("tests in virtual machines with newer kernels", "在使用较新内核的虚拟机里"),
    ("SIGKILL at each system call of create and run", "在 create 和 run 的每个系统调用处 SIGKILL"),
    (
        "tests in virtual machines whose first process is systemd",
        "在 1 号进程是 systemd 的虚拟机里",
    ),
    ("tests in a virtual machine with cgroup v2", "在使用控制组 v2 的虚拟机里"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_title_has_a_row_and_every_row_its_values() {
        use crate::{forerunner, promises, quantities};
        for trials in
            [forerunner::TRIALS, quantities::TRIALS, promises::PROMISES, promises::ESCAPES]
        {
            for trial in trials {
                of(trial.title);
            }
        }
        for (english, chinese) in TABLE {
            let values = |text: &str| text.matches("{}").count();
            assert_eq!(values(english), values(chinese), "{english}");
            assert_eq!(TABLE.iter().filter(|row| row.0 == *english).count(), 1, "{english} twice");
        }
    }
}
