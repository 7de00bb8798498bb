function main({ words }) {
  return { words: words.sort() };
}
