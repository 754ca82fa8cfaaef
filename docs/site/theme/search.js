// The search: every section of every page in which all words of the query occur, as they are typed.
// Words need no borders, so that Chinese ones, options and parts of names are found too.
"use strict";

const query = document.getElementById("query");
const found = document.getElementById("found");
const base = document.body.dataset.top;
const MOST = 30;
// Letters of a text around a word that is found in it.
const AROUND = 60;

// The sections come as a script, which a page on a disk may load; a file of JSON it may not fetch.
let loading;
function sections() {
    loading ??= new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = `${base}/sections.js`;
        script.onload = () => resolve(globalThis.SECTIONS);
        script.onerror = reject;
        document.head.append(script);
    });
    return loading;
}

const chinese = (section) => section.location.startsWith("docs/zh-CN/");

// What a section is worth to these words; 0 if one of them is missing.
function worth(section, words) {
    let sum = 0;
    for (const word of words) {
        const title = section.title.toLowerCase().indexOf(word);
        const text = section.text.toLowerCase().split(word).length - 1;
        const page = section.page.toLowerCase().includes(word);
        if (title < 0 && text === 0 && !page) return 0;
        sum += (title < 0 ? 0 : 20) + (title === 0 ? 10 : 0) + (page ? 5 : 0) + Math.min(text, 5);
    }
    const same = chinese(section) === (document.documentElement.lang === "zh-CN");
    return sum + (same ? 15 : 0);
}

// The text with the words marked.
function marked(parent, text, words) {
    const lower = text.toLowerCase();
    let at = 0;
    while (at < text.length) {
        const next = words.map((word) => [lower.indexOf(word, at), word.length]).filter(([start]) => start >= 0);
        const [start, length] = next.sort((a, b) => a[0] - b[0] || b[1] - a[1])[0] ?? [text.length, 0];
        parent.append(text.slice(at, start));
        if (length === 0) break;
        const mark = document.createElement("mark");
        mark.append(text.slice(start, start + length));
        parent.append(mark);
        at = start + length;
    }
}

function around(text, words) {
    const lower = text.toLowerCase();
    const at = Math.max(0, Math.min(...words.map((word) => lower.indexOf(word)).filter((it) => it >= 0), text.length) - AROUND);
    const start = at === text.length - AROUND ? 0 : at;
    return (start > 0 ? "…" : "") + text.slice(start, start + 3 * AROUND);
}

function row(section, words) {
    const link = document.createElement("a");
    link.href = `${base}/${section.location}`;
    const title = document.createElement("b");
    marked(title, section.title, words);
    link.append(title, section.title === section.page ? "" : ` · ${section.page}`);
    const text = document.createElement("small");
    marked(text, around(section.text, words), words);
    link.append(text);
    const item = document.createElement("li");
    item.append(link);
    return item;
}

async function search() {
    const words = query.value.toLowerCase().split(/[\s，。、；：]+/).filter((word) => word !== "");
    if (words.length === 0) {
        found.hidden = true;
        return;
    }
    const all = await sections();
    const best = all.map((section) => [worth(section, words), section]).filter(([value]) => value > 0);
    best.sort((a, b) => b[0] - a[0]);
    found.replaceChildren(...best.slice(0, MOST).map(([, section]) => row(section, words)));
    if (best.length === 0) found.append(found.dataset.none);
    found.hidden = false;
}

// The links of the list, and the arrow keys among them.
function move(step) {
    const links = [query, ...found.querySelectorAll("a")];
    const at = links.indexOf(document.activeElement) + step;
    links[Math.max(0, Math.min(at, links.length - 1))].focus();
}

query.addEventListener("focus", sections);
query.addEventListener("input", search);
document.addEventListener("keydown", (event) => {
    const searching = event.target.closest("search") !== null;
    if (event.key === "/" && event.target !== query) query.focus();
    else if (event.key === "Escape" && searching) found.hidden = true;
    else if (event.key === "ArrowDown" && searching) move(1);
    else if (event.key === "ArrowUp" && searching) move(-1);
    else if (event.key === "Enter" && event.target === query) found.querySelector("a")?.click();
    else return;
    event.preventDefault();
});
document.addEventListener("click", (event) => {
    if (event.target.closest("search") === null || event.target.closest("a") !== null) found.hidden = true;
});
