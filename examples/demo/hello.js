function main() {
  console.log('Hello World');
  return { hello: 'world' };
}
