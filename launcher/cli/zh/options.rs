//! The options, in the order of the help.

catalogue! {
    "Keep the state of containers here; default: /run/tiny-ce, and without root's rights \
     $XDG_RUNTIME_DIR/tiny-ce, or /tmp/tiny-ce-UID where that is not set." =>
        "容器状态的存放目录；默认 /run/tiny-ce，没有 root 权限时为 $XDG_RUNTIME_DIR/tiny-ce，\
         该变量未设置时为 /tmp/tiny-ce-UID。",
    "Append errors to this log as well: a file, journald:NAME or syslog:NAME." =>
        "把错误同时追加到这个日志：文件、journald:NAME 或 syslog:NAME。",
    "Format of the log; default: text." => "日志格式；默认 text。",
    "How much is logged; default: warning." => "记录到哪一级；默认 warning。",
    "Log each action as well, as --log-level debug does." =>
        "每个动作也记入日志，同 --log-level debug。",
    "Whether to work without root's rights; default: auto, which depends on the caller." =>
        "是否不靠 root 权限工作；默认 auto，视调用者而定。",
    "Put new containers into a scope of systemd, over D-Bus; the config's cgroupsPath is \
     slice:prefix:name. Commands for an existing container need no such option." =>
        "通过 D-Bus 把新容器放进 systemd 的 scope；配置里的 cgroupsPath 写作 \
         slice:prefix:name。对已有容器的命令不需要这个选项。",
    "How the cgroups of new containers are made; default: cgroupfs. With disabled containers \
     have no cgroup of their own, and no limits." =>
        "怎样建立新容器的控制组；默认 cgroupfs。用 disabled 时，容器没有自己的控制组，\
         也没有限制。",
    "Obsolete: criu is looked up in PATH. Accepted with a warning." =>
        "已废弃：criu 在 PATH 中查找。接受但给出警告。",
    "Print version, commit and the specification's version." => "打印版本、提交号和规范的版本。",
    "Print this help, or a command's." => "打印本帮助，或某个命令的帮助。",
    "Do not wait; the container stays until it is deleted." => "不等待；容器一直保留到被删除。",
    "Do not delete the container when its program has ended." => "程序结束后不删除容器。",
    "Delete the container when its program has ended, which is the default; =false is --keep." =>
        "程序结束后删除容器，这是默认行为；=false 等于 --keep。",
    "The name of the new container, as CONTAINER." => "新容器的名字，同 CONTAINER。",
    "Pass standard input on, which always happens." => "传递标准输入，总是如此。",
    "Do not adopt processes that the container leaves behind." => "不收养容器遗留的进程。",
    "Write to this file what each step of init and each phase of tiny-ce took, when the \
     program has ended: as JSON or as a picture if its name ends in .json or .svg, otherwise \
     as text." =>
        "程序结束后，把 init 的每一步和 tiny-ce 的每个阶段所用的时间写入这个文件：文件名以 \
         .json 结尾时是 JSON，以 .svg 结尾时是图，否则是文本。",
    "Directory with config.json; default: the working directory." =>
        "config.json 所在的目录；默认当前目录。",
    "Name of the file in the bundle, or - for standard input; default: config.json." =>
        "容器包里的文件名，- 表示标准输入；默认 config.json。",
    "Write the pid of the container's program to this file." => "把容器程序的进程号写入这个文件。",
    "Send the master of the container's terminal to this Unix socket." =>
        "把容器终端的主端发送到这个 Unix 套接字。",
    "Send a pidfd of the container's program to this Unix socket." =>
        "把容器程序的 pidfd 发送到这个 Unix 套接字。",
    "Pass on this many of the caller's descriptors, from 3 on; default: 0." =>
        "从 3 开始，传递调用者的这么多个文件描述符；默认 0。",
    "Attach the container to a network, with this address or a free one; none: a loopback \
     interface alone, the default without a bundle; host: share the host's network; pasta, \
     slirp4netns: the internet, through this program; ns:PATH: join the network namespace of a \
     file." =>
        "把容器接入网络，用这个地址或一个空闲地址；none：只有回环接口，没有容器包时的默认值；\
         host：共用宿主机的网络；pasta、slirp4netns：通过该程序上网；ns:PATH：\
         加入这个文件所代表的网络命名空间。",
    "Mount the root file system over / and chroot(2) into it instead of pivot_root(2); less \
     safe." =>
        "把根文件系统挂载到 / 上并 chroot(2) 进去，不用 pivot_root(2)；不够安全。",
    "Keep the caller's session keyring." => "保留调用者的会话密钥环。",
    "Keep tiny-ce's init as the first process, which passes signals on to the program and \
     reaps orphans; =false: without it. Default: if there is no bundle." =>
        "保留 tiny-ce 的 init 作为一号进程，由它向程序转发信号、回收孤儿进程；=false：不要它。\
         默认只在没有容器包时保留。",
    "Root file system; default: the host's files, seen through overlays whose changes vanish." =>
        "根文件系统；默认是宿主机的文件，隔着叠加层看到，改动会消失。",
    "Most CPU time, in CPUs, such as 1.5; 0: no limit. Sets --cpu-quota and --cpu-period." =>
        "处理器时间上限，以处理器个数计，如 1.5；0 表示不限。它设定 --cpu-quota 和 \
         --cpu-period。",
    "Host name; default: tiny-ce." => "主机名；默认 tiny-ce。",
    "Variable of the environment; without a value: the caller's, if it has one." =>
        "环境变量；不写值时取调用者的值，如果有的话。",
    "Variables of a file, as --env has them, one a line; # begins a comment." =>
        "文件里的环境变量，写法同 --env，每行一个；# 开头的是注释。",
    "Working directory; default: /." => "工作目录；默认 /。",
    "User, and perhaps group, by number or by a name of the container's /etc/passwd and \
     /etc/group; default: 0. Without a group, the user's own there, or 0." =>
        "用户，也可带组；用数字，或容器的 /etc/passwd 和 /etc/group 里的名字；默认 0。\
         不写组时用该用户自己的组，否则为 0。",
    "Ids of a container whose caller is not root: own is the caller's alone, all are also \
     those of /etc/subuid and /etc/subgid. Default: all, where newuidmap can map them." =>
        "调用者不是 root 时容器拥有的 id：own 只有调用者自己的 id，all 还有 /etc/subuid 和 \
         /etc/subgid 里的。newuidmap 可用时默认 all。",
    "Make a file or directory of the host visible in the container." =>
        "让宿主机的文件或目录在容器里可见。",
    "Mount the root file system read-only." => "以只读方式挂载根文件系统。",
    "With a terminal; =false: without one. Default: if standard input and output are one." =>
        "带终端；=false：不带。默认看标准输入和标准输出是不是终端。",
    "System calls that are refused, as linux.seccomp in JSON; \"unconfined\" refuses none. \
     Default: those that reach beyond the container." =>
        "拒绝哪些系统调用，格式同 linux.seccomp 的 JSON；\"unconfined\" 一个也不拒绝。\
         默认拒绝通向容器之外的那些。",
    "Most memory, such as 512m or 1.5g; more is an OOM kill. -1: unlimited." =>
        "内存上限，如 512m 或 1.5g；超出时内核终止进程（OOM）。-1 表示不限。",
    "Memory that the kernel leaves to the container when memory is short; -1: unlimited." =>
        "内存紧张时内核为容器保留的内存；-1 表示不限。",
    "Memory and swap together; -1: unlimited." => "内存与交换空间之和的上限；-1 表示不限。",
    "Obsolete: the kernel has no such limit any more, and a warning says so." =>
        "已废弃：内核不再有这种限制，使用时给出警告。",
    "Relative weight of its processor time, 2 to 262144." => "处理器时间的相对份额，2 到 262144。",
    "Processor time per period; 0 and less: unlimited." =>
        "每个周期的处理器时间；0 和更小表示不限。",
    "Length of a period." => "周期的长度。",
    "Processor time beyond the quota that can be saved up." =>
        "可以积攒起来、超出配额使用的处理器时间。",
    "1: only CPU time that no other task wants; 0: the usual share." =>
        "1：只用别的任务都不要的处理器时间；0：通常的份额。",
    "Real-time processor time per real-time period; cgroup v1." =>
        "每个实时周期的实时处理器时间；cgroup v1。",
    "Length of a real-time period; cgroup v1." => "实时周期的长度；cgroup v1。",
    "Which processors, such as 0-3,7." => "可用的处理器，如 0-3,7。",
    "Which memory nodes, such as 0-1." => "可用的内存节点，如 0-1。",
    "Most tasks; -1: unlimited." => "任务数上限；-1 表示不限。",
    "Relative weight of its block I/O, 10 to 1000." => "块设备读写的相对权重，10 到 1000。",
    "Most memory in zswap, which holds swapped pages compressed in RAM; -1: unlimited." =>
        "zswap 的内存上限，zswap 在内存里压缩保存换出的页；-1 表示不限。",
    "The whole process as a JSON document like \"process\" of config.json, or - for standard \
     input. COMMAND and the options that change the process (--user, and so on) are ignored." =>
        "用 JSON 文档给出整个进程，格式同 config.json 的 \"process\"，- 表示标准输入。这时忽略 \
         COMMAND 和更改进程的选项（--user 等）。",
    "Do not wait for its end." => "不等待它结束。",
    "Write its pid to this file." => "把它的进程号写入这个文件。",
    "Send the master of its terminal to this Unix socket." =>
        "把它的终端的主端发送到这个 Unix 套接字。",
    "Send a pidfd of it to this Unix socket." => "把它的 pidfd 发送到这个 Unix 套接字。",
    "Run in this cgroup below the container's own, for all controllers or for those before the \
     colon." =>
        "在容器控制组之下的这个控制组里运行；对全部控制器，或只对冒号之前的控制器。",
    "Also in a paused container: the program runs once it is resumed." =>
        "容器暂停时也可以：程序在继续之后运行。",
    "Give it a terminal." => "给它一个终端。",
    "Working directory in the container." => "容器里的工作目录。",
    "Set a variable of the environment. Without a value it gets the caller's, if the caller \
     has the variable." =>
        "设置一个环境变量。不写值时取调用者的值，如果调用者有这个变量。",
    "User, and optionally group, by number or by a name in the container's /etc/passwd and \
     /etc/group. A user by name has its own groups, a user by number those of the container's \
     process." =>
        "用户，也可带组；用数字，或容器的 /etc/passwd 和 /etc/group 里的名字。\
         用名字的用户有自己的各个组，用数字的用户有容器进程的组。",
    "Add a supplementary group." => "添加一个附加组。",
    "Add a capability to the bounding, effective and permitted sets, and to the ambient set if \
     it is inheritable." =>
        "把一个能力加入边界集、有效集和允许集；它可继承时也加入环境集。",
    "Set no_new_privs, even if the container's process does not have it." =>
        "设置 no_new_privs，即使容器的进程没有设置。",
    "SELinux label." => "SELinux 标签。",
    "AppArmor profile." => "AppArmor 配置。",
    "Send it to every process of the container." => "发给容器的全部进程。",
    "CONTAINER is a regular expression: all containers whose ids contain a match." =>
        "CONTAINER 是正则表达式：id 里有匹配之处的全部容器。",
    "Kill it first. It is no error if it does not exist." => "先终止它。容器不存在也不算错误。",
    "Output format; default: table." => "输出格式；默认 table。",
    "Print only the ids." => "只打印 id。",
    "Leave the container running." => "让容器继续运行。",
    "Save only memory, so that a later checkpoint has less to save; the container goes on." =>
        "只保存内存，使以后的检查点要保存的更少；容器继续运行。",
    "Save only what has changed since an earlier --pre-dump, whose images are here, relative \
     to --image-path." =>
        "只保存自上一次 --pre-dump 以来的变化；上一次的镜像在这个目录，相对于 --image-path。",
    "Send memory to a \"criu page-server\" instead." => "把内存改为发送到 \"criu page-server\"。",
    "Write a zero byte to this descriptor once \"criu lazy-pages\" can fetch memory; needs \
     --lazy-pages." =>
        "\"criu lazy-pages\" 可以取内存时，向这个文件描述符写入一个零字节；需要 --lazy-pages。",
    "Leave out TCP connections that are not established yet." => "略去还没有建立的 TCP 连接。",
    "Give open files that were removed a name again." => "给已被删除但仍打开着的文件重新起名。",
    "The directory of the images; default: checkpoint." => "镜像的目录；默认 checkpoint。",
    "The directory of CRIU's log; default: that of the images." =>
        "CRIU 日志的目录；默认同镜像的目录。",
    "Keep established TCP connections." => "保留已建立的 TCP 连接。",
    "Allow Unix sockets whose other end is outside the container." =>
        "允许另一端在容器之外的 Unix 套接字。",
    "Allow the session and the terminal of the caller." => "允许使用调用者的会话和终端。",
    "Keep file locks." => "保留文件锁。",
    "Fetch memory on page faults, with userfaultfd(2)." =>
        "通过 userfaultfd(2)，在缺页时才取内存。",
    "Remove from the parent images the pages that this image has." =>
        "上级镜像里的页，凡本镜像也有的就删去。",
    "How to treat cgroups; default: that of CRIU, which is soft." =>
        "怎样处理控制组；默认同 CRIU，即 soft。",
    "Leave the content of this namespace alone." => "不管这个命名空间的内容。",
    "How to block packets meanwhile; default: that of CRIU, which is iptables." =>
        "其间怎样阻断网络包；默认同 CRIU，即 iptables。",
    "Attach the container to a network, with this address or a free one." =>
        "把容器接入网络，用这个地址或一个空闲地址。",
    "Accepted with a warning: CRIU enters the rootfs in its own way." =>
        "接受但给出警告：CRIU 以自己的方式进入根文件系统。",
    "Close TCP connections." => "关闭 TCP 连接。",
    "Another profile or label: apparmor:NAME or selinux:LABEL." =>
        "换一个配置或标签：apparmor:NAME 或 selinux:LABEL。",
    "Another SELinux context for mounts." => "换一个用于挂载的 SELinux 上下文。",
    "Print a table, or only the pids; default: table." => "打印表格，或只打印进程号；默认 table。",
    "Exit with the status of the last container, as a shell's wait does, instead of 0." =>
        "以最后一个容器的状态退出，就像 shell 的 wait，而不是 0。",
    "Time between two measurements, such as 500ms; default: 5s." =>
        "两次测量的间隔，如 500ms；默认 5s。",
    "Print the statistics once, and end." => "打印一次统计后结束。",
    "A JSON document like linux.resources of config.json, or - for standard input." =>
        "JSON 文档，格式同 config.json 的 linux.resources，- 表示标准输入。",
    "A line of the container's class of service in resctrl, such as L3:0=f." =>
        "容器在 resctrl 中的服务类的一行，如 L3:0=f。",
    "A line of the container's class of service in resctrl, such as MB:0=50." =>
        "容器在 resctrl 中的服务类的一行，如 MB:0=50。",
    "The network, as \"run\" takes it." => "网络，写法同 \"run\"。",
    "Run the container to the end of its program, and print what each step of init and each \
     phase of tiny-ce took, in microseconds. Skipped steps and tolerated errnos say so. The \
     program's output goes to standard error." =>
        "运行容器直到程序结束，打印 init 的每一步和 tiny-ce 的每个阶段用了多少微秒。\
         跳过的步骤和容许的错误号会注明。程序的输出转到标准错误。",
    "The order of the analysis; default: plan." => "分析结果的顺序；默认 plan。",
    "The form; svg: a picture of the container's world, and with --analyze of the analysis; \
     json: only of an analysis. Default: text." =>
        "输出的格式；svg：一幅图，画的是容器的全貌，加上 --analyze 时画的是分析结果；\
         json：只用于分析结果。默认 text。",
    "Directory of the bundle; default: the working directory." => "容器包的目录；默认当前目录。",
    "Name of the file in the bundle, or - for standard output; default: config.json." =>
        "容器包里的文件名，- 表示标准输出；默认 config.json。",
    "For a caller without root's rights: a user namespace with the caller as its root." =>
        "供没有 root 权限的调用者使用：一个用户命名空间，调用者是其中的 root。",
    "Write the file that \"tiny-ce run\" uses without a bundle." =>
        "写出 \"tiny-ce run\" 在没有容器包时所用的文件。",
    "Its addresses, such as 10.0.0.0/24; required." => "网段，如 10.0.0.0/24；必须给出。",
    "Its largest packet; default: the kernel's 1500. At least 1280." =>
        "最大的包；默认为内核的 1500。至少 1280。",
    "Output format; svg: a picture. Default: text." => "输出格式；svg：一幅图。默认 text。",
    "Print only the names." => "只打印名字。",
    "The kernel, as distributions ship it (vmlinuz), or vmlinux." =>
        "内核，发行版提供的（vmlinuz）或 vmlinux。",
    "End the machine after this time; default: never." => "过了这段时间就结束机器；默认不限时。",
    "Memory of the machine; default: 512m, or more for a large image." =>
        "机器的内存；默认 512m，镜像大时更多。",
    "CPUs of the machine; default: 1." => "机器的处理器个数；默认 1。",
    "Add these words to the kernel's command line." => "把这些词加到内核命令行。",
    "Show a directory of the host in the container, at the same path or at TARGET." =>
        "让宿主机的目录在容器里可见，路径相同或为 TARGET。",
    "Give a container of --rootfs a terminal; =false: none. Default: if standard input and \
     output are one." =>
        "给 --rootfs 的容器一个终端；=false：不给。默认看标准输入和标准输出是不是终端。",
    "Show the kernel's console on standard error." => "在标准错误显示内核的控制台。",
    "What executes the machine's code; default: auto." => "用什么执行机器的指令；默认 auto。",
    "The emulator; default: qemu-system-x86_64 or qemu-system-aarch64." =>
        "模拟器；默认 qemu-system-x86_64 或 qemu-system-aarch64。",
    "Root file system of a container without a bundle, whose program stands behind --." =>
        "没有容器包时的根文件系统，程序写在 -- 之后。",
    "Name of the container; default: that of the bundle's directory, or container." =>
        "容器的名字；默认是容器包目录的名字，或 container。",
    "Variable of the environment, if there is no bundle; without a value: the caller's." =>
        "没有容器包时的环境变量；不写值时取调用者的值。",
    "Working directory, if there is no bundle; default: /." => "没有容器包时的工作目录；默认 /。",
    "User, and perhaps group, if there is no bundle; default: 0." =>
        "没有容器包时的用户，也可带组；默认 0。",
    "Host name of the machine; default: tiny-ce." => "机器的主机名；默认 tiny-ce。",
    "Several containers with an order and restart policies, in place of a bundle: a file as \
     machine.json, whose bundles are directories of this machine, relative to the file's." =>
        "代替容器包的多个容器，带有顺序和重启策略：格式同 machine.json 的文件，\
         其中的容器包是本机的目录，相对于这个文件。",
    "Put what is in this directory into the machine's own root, beside the containers." =>
        "把这个目录里的内容放进机器自己的根，与容器并列。",
    "Load this kernel module, and those that it needs." => "加载这个内核模块，以及它需要的模块。",
    "Directory with the kernel's modules, such as /lib/modules/6.1.0." =>
        "内核模块的目录，如 /lib/modules/6.1.0。",
    "Give files with these ids of this machine others in the image; without a range the \
     caller's become root's, and others stay." =>
        "本机上属于这些 id 的文件，在镜像里换成别的 id；不给范围时，调用者的变成 root 的，\
         其他不变。",
    "The same for groups." => "对组做同样的事。",
    "The tiny-ce of the image, perhaps of another architecture; default: this one." =>
        "镜像里的 tiny-ce，可以是另一种体系结构的；默认是这一个。",
    "Write the image to this file, or with - to standard output." =>
        "把镜像写入这个文件，- 表示标准输出。",
    "Compress it: gzip makes it smaller, zstd is faster; default: gzip." =>
        "压缩：gzip 更小，zstd 更快；默认 gzip。",
    "Output format; default: text." => "输出格式；默认 text。",
    "Write every page into this directory, which must exist, as NAME.1." =>
        "把每一页写入这个目录，文件名是 NAME.1；目录必须已存在。",
}
