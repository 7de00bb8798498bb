async function main({ name = 'stranger', place = 'nowhere' }) {
  return { greeting: `Bonjour, ${name} de ${place} !` };
}
