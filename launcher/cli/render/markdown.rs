//! Render docs/commands.md from the table of commands, and docs/zh-CN/commands.md.
//!
//! Knows the table, the languages and Markdown. Must not know a command by name.

use crate::cli::Globals;
use crate::cli::commands::COMMANDS;
use crate::cli::language::{AGAIN, EXAMPLES, GLOBAL_OPTIONS, Language};
use crate::cli::table::{Command, Opt, OptionSet};

const ENGLISH: &str = "# Commands\n\n\
    This page is what `tiny-ce --help` and `tiny-ce COMMAND --help` print. \
    It is written from the table of commands by `BLESS=1 cargo test --test cli`. \
    Help is in [Chinese](zh-CN/commands.md) if the first of `LC_ALL`, `LC_MESSAGES` and `LANG` \
    that is not empty begins with `zh` and names no other character set than UTF-8.\n\n    \
    tiny-ce [GLOBAL OPTIONS] COMMAND [OPTIONS] [ARGUMENTS]\n\n\
    The value of an option is the next word, or follows `=`. Long options may \
    have one dash, as in Go. Options and arguments may come in any order; a word \
    after `--` is no option. If an option is given twice, the last one counts, \
    unless \"May be given again\" stands beside it.\n\n";

const CHINESE: &str = "# 命令\n\n\
    本页就是 `tiny-ce --help` 和 `tiny-ce COMMAND --help` 在中文环境里打印的内容，\
    由 `BLESS=1 cargo test --test cli` 根据命令表生成。\
    语言取自 `LC_ALL`、`LC_MESSAGES`、`LANG` 中第一个不为空的变量：以 `zh` 开头、\
    字符集是 UTF-8 时为中文。错误信息总是英文，见[错误与提示](errors.md)。\n\n    \
    tiny-ce [GLOBAL OPTIONS] COMMAND [OPTIONS] [ARGUMENTS]\n\n\
    依次是：全局选项、命令、选项、参数；方括号表示可以省略，竖线表示任选其一，\
    省略号表示可以有多个。大写的词要换成实际的内容：\n\n\
    | 词 | 换成 |\n|---|---|\n\
    | `CONTAINER` | 容器的名字，即 id |\n\
    | `BUNDLE` | 容器包的目录 |\n\
    | `COMMAND`、`ARGUMENT` | 要执行的命令、它的参数 |\n\
    | `DIRECTORY`、`FILE`、`PATH` | 目录、文件、路径 |\n\
    | `NAME`、`ID` | 名字 |\n\
    | `USER`、`GROUP`、`UID`、`GID` | 用户、组，以及它们的编号 |\n\
    | `ADDRESS`、`PORT`、`BITS` | 地址、端口、前缀长度 |\n\
    | `BYTES`、`SIZE` | 字节数，可以带 `k`、`m`、`g` |\n\
    | `MICROSECONDS`、`DURATION` | 微秒数、时长（如 `500ms`、`5s`） |\n\
    | `NUMBER`、`WEIGHT`、`LIST` | 数字、权重、编号的列表（如 `0-3,7`） |\n\
    | `SOURCE`、`TARGET`、`HOST` | 来源、目标、宿主机 |\n\
    | `VALUE`、`LINE`、`WORDS`、`TYPE` | 值、一行、若干词、类型 |\n\
    | `SIGNAL`、`CAPABILITY`、`CONTROLLER` | 信号、能力、控制组的控制器 |\n\
    | `LABEL`、`PROFILE`、`CONTEXT` | 标签、配置、上下文 |\n\
    | `SHELL`、`PROGRAM`、`PS-OPTION` | shell、程序、ps(1) 的选项 |\n\n\
    选项的值是下一个词，或写在 `=` 之后。长选项可以只写一个短横，同 Go 的程序。\
    选项和参数的顺序任意；`--` 之后的词不是选项。同一个选项给出两次时最后一次算数，\
    注明“可多次给出”的除外。\n\n";

/// The whole page.
pub fn document(language: Language) -> String {
    let mut page = String::from(match language {
        Language::English => ENGLISH,
        Language::Chinese => CHINESE,
    });
    let (colon, gap) = (language.colon(), language.gap());
    for (heading, commands) in COMMANDS {
        page.push_str(&format!("**{}**\n\n", language.say(heading)));
        for command in *commands {
            let (name, summary) = (command.name, language.summary(command));
            let anchor = name.replace(' ', "-");
            page.push_str(&format!("- [`{name}`](#{anchor}){colon}{gap}{summary}\n"));
        }
        page.push('\n');
    }
    page.push_str(&format!("## {}\n\n", language.say(GLOBAL_OPTIONS)));
    page.push_str(&options(language, Globals::ROWS));
    for command in COMMANDS.iter().flat_map(|(_, commands)| *commands) {
        page.push_str(&section(language, command));
    }
    page
}

fn section(language: Language, command: &Command) -> String {
    let mut text = format!("\n## {}\n\n    {}\n\n", command.name, command.usage());
    text.push_str(&language.paragraphs(command.doc).join("\n\n"));
    text.push('\n');
    let (colon, gap) = (language.colon(), language.gap());
    let (argument, full_stop) = match language {
        Language::English => ("argument", "."),
        Language::Chinese => ("参数", "。"),
    };
    for alias in command.aliases {
        let call = format!("tiny-ce {alias}");
        let same = language.same(alias).replace(&call, &format!("`{call}`"));
        text.push_str(&format!("\n{same}{full_stop}\n"));
    }
    if !command.args.is_empty() {
        text.push_str(&format!("\n| {argument} | |\n|---|---|\n"));
        for arg in command.args {
            text.push_str(&row(arg.spec, &language.line(arg.doc), ""));
        }
    }
    for group in command.groups {
        if group.title != "Options" {
            text.push_str(&format!("\n{}{colon}\n", language.say(group.title)));
        }
        text.push('\n');
        text.push_str(&options(language, group.rows));
    }
    if !command.examples.is_empty() {
        text.push_str(&format!("\n{}{colon}\n\n", language.say(EXAMPLES)));
        for (line, what) in command.examples {
            text.push_str(&format!("- `tiny-ce {line}`{colon}{gap}{}\n", language.say(what)));
        }
    }
    text
}

fn options(language: Language, rows: &[Opt]) -> String {
    let option = match language {
        Language::English => "option",
        Language::Chinese => "选项",
    };
    let mut text = format!("| {option} | |\n|---|---|\n");
    for opt in rows {
        let again = match opt.repeatable {
            true => format!("{}{}", language.gap(), language.say(AGAIN)),
            false => String::new(),
        };
        text.push_str(&row(opt.spec, &language.option(opt), &again));
    }
    text
}

/// One line of a table, in which `|` would begin another cell.
fn row(spec: &str, text: &str, end: &str) -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    format!("| `{}` | {}{end} |\n", cell(spec), cell(text))
}
