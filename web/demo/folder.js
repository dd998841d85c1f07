// Files of a model from a folder that was dropped or picked: what is in it, by path. Loading is not in here.

/** What a model may be made of, or tells that it is of another kind; all else in a folder stays where it is. */
const WANTED = /\.(json|txt|safetensors|model|bin|onnx|gguf|xml|h5|msgpack)$/i;
/** Folders within a model's: modules and vocabularies are one deep. */
const DEEPEST = 4;

/** Files by path from an `<input webkitdirectory>`. */
export function picked(files) {
  return whole([...files].map((file) => [file.webkitRelativePath || file.name, file]));
}

/** Files by path from what was dropped: a folder, or the files of one. */
export async function dropped(items) {
  // The list is emptied once the event is over.
  const entries = [...items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const all = [];
  for (const entry of entries) await walk(entry, "", all, 0);
  return whole(all);
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

/** The files that a model may be made of, by path, and the name of the folder; which of them is the model's is for the
 * package to find. */
function whole(all) {
  const wanted = all.filter(([name]) => WANTED.test(name));
  const folder = all[0]?.[0].split("/").slice(0, -1)[0];
  return { files: Object.fromEntries(wanted), name: folder ?? "a folder of yours" };
}
