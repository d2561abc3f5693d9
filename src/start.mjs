import { dataFolderOf, makeForFirstStart, useCompileCache } from './compile-cache.mjs';

// JavaScript, and before everything else: what takes the types out of a source costs 25 MiB, and no source is read anew once all are kept.
const words = process.argv.slice(2);
const dataFolder = dataFolderOf(words, process.env);
if (dataFolder !== undefined) {
  if (words[0] === 'serve') makeForFirstStart(dataFolder);
  useCompileCache(dataFolder);
}
await import('./main.ts');
