// Ends with 1 when the official parser has anything to say of the document.
import { readFileSync } from "node:fs";
import { argv, chdir, exit } from "node:process";
import { basename, dirname } from "node:path";
import { Parser } from "@asyncapi/parser";

const file = argv[2];
const text = readFileSync(file, "utf8");
chdir(dirname(file)); // references are relative to the document
const { document, diagnostics } = await new Parser().parse(text, { source: basename(file) });
for (const { severity, code, message, path } of diagnostics) {
  console.log(`${basename(file)} ${path.join("/")}: ${code} (${severity}): ${message}`);
}
exit(document && diagnostics.length === 0 ? 0 : 1);
