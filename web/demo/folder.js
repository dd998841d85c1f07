// Files of a model from a folder that was dropped or picked: what is in it, by path. Loading is not in here.

/** What a model may be made of; all else in a folder stays where it is. */
const WANTED = /\.(json|txt|safetensors|model|bin)$/i;
/** Folders within a model's: modules and vocabularies are one deep. */
const DEEPEST = 4;

/** Files by path, without the folder's own name, from an `<input webkitdirectory>`. */
export function picked(files) {
  return relative([...files].map((file) => [file.webkitRelativePath || file.name, file]));
}

/** Files by path from what was dropped: a folder, or the files of one. */
export async function dropped(items) {
  // The list is emptied once the event is over.
  const entries = [...items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const all = [];
  for (const entry of entries) await walk(entry, "", all, 0);
  return relative(all);
}

async function walk(entry, above, all, depth) {
  const name = above + entry.name;
  if (entry.isFile) {
    if (WANTED.test(name)) all.push([name, await new Promise((ok, no) => entry.file(ok, no))]);
    return;
  }
  if (depth > DEEPEST || entry.name.startsWith(".")) return;
  const reader = entry.createReader();
  for (;;) {
    // A hundred at a time.
    const some = await new Promise((ok, no) => reader.readEntries(ok, no));
    if (some.length === 0) return;
    for (const one of some) await walk(one, `${name}/`, all, depth + 1);
  }
}

/** Paths from the folder that `config.json` is in. */
function relative(all) {
  const configs = all.map(([name]) => name).filter((name) => name.split("/").pop() === "config.json");
  const top = configs.sort((a, b) => a.split("/").length - b.split("/").length)[0];
  if (top === undefined) throw new Error("there is no config.json: a model is a folder with config.json, model.safetensors and tokenizer.json");
  const base = top.slice(0, -"config.json".length);
  const files = {};
  for (const [name, file] of all) if (name.startsWith(base) && WANTED.test(name)) files[name.slice(base.length)] = file;
  return { files, name: base.split("/").filter(Boolean).pop() ?? "a folder of yours" };
}
