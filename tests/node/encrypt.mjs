// Encrypts as README.md shows: node encrypt.mjs PATH_OF_ITS_MODULE, with [parametersKey, parameters…] on stdin.
// Prints what may be sent, a line for each.
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const { encrypted } = await import(pathToFileURL(process.argv[2]));

const [key, ...all] = JSON.parse(readFileSync(0, 'utf8'));
for (const parameters of all) {
  console.log(await encrypted(key, parameters));
}
