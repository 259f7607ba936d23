// In which of our four languages a message is written, so that it is read out with the right voice. Told from the
// small words each language cannot do without; nothing is said where they do not agree: a wrong voice is worse than
// the page's own.

const SMALL_WORDS = {
  en: "the and is are was were you your it its this that these of to for with have has had not don't can could would should will what who where when how i i'm we they he she my our be been do does did from at on in by or a tell that's one maybe give which people time day more like they're there's you're i'd i'll because also really as an if there here just so yes no thanks thank please hello hi good about any some am let's it's me us them his her than then too very much know think need want go going see",
  nl: "de het een en is zijn was waren je jij jullie ik wij we ze zij hij dat dit deze die van voor met heb hebt heeft hebben niet geen kan kun kunnen zou zal wat wie waar wanneer hoe mijn onze ons er hier ook maar als dan nog wel om naar op bij uit aan door of ja nee bedankt dank hallo hoi goed goede graag even toch al iets mee moet moeten wil willen gaan ga weet denk morgen vandaag leuk fijn hem haar hun te toe zo heel veel welke kunt u werd worden wordt deze hoeveel waarom omdat erg nu alleen tussen over haal",
  de: "der die das ein eine einen einem und ist sind war waren du ihr ich wir sie er es dass dies diese von für mit habe hast hat haben nicht kein keine kann kannst können könnte würde wird was wer wo wann wie mein unser uns euch dir mir mich dich hier auch aber wenn dann noch schon um nach auf bei aus an durch oder ja nein danke hallo gut gute gern gerne doch etwas muss müssen will wollen gehen weiß zum zur im am vom beim sehr viel zu den dem des morgen heute schön bitte welche wurde werden ihnen seine ihre warum weil sich mehr nur jetzt alle",
  fr: "le la les un une des et est sont était tu vous je j'ai nous ils elles il elle ce cette ces que qui de du pour avec ai avez ont pas ne n'est peux peut pouvez pourrait va quoi où quand comment mon ma mes notre votre nos vos y ici aussi mais si alors encore déjà sur chez dans par ou oui non merci bonjour salut bien bon bonne très quelque faut veux veut aller sais c'est d'accord s'il plaît au aux te se lui leur beaucoup demain aujourd'hui à moi toi quelle quel quels être peut-être fait faire plus tout tous c'était qu'il l'un parce pourquoi combien donc ça d'un d'une sont",
};
const WORDS = Object.entries(SMALL_WORDS).map(([tag, words]) => [tag, new Set(words.split(" "))]);
const LETTERS = { de: /[ßäöü]/u, fr: /[àâçèêëîïôùûœ]/u, nl: /ij/u };

// "en", "nl", "de", "fr", or "" when it cannot be told.
export function languageOf(text) {
  const words = text.toLowerCase().replaceAll("’", "'").replace(/https?:\S+|`[^`]*`|@\S+/gu, " ").match(/[\p{L}']+/gu) ?? [];
  const scores = WORDS.map(([tag, small]) => [tag, words.filter((word) => small.has(word)).length + (LETTERS[tag]?.test(text) ? 0.5 : 0)]);
  const [[tag, best], [, next]] = scores.sort((a, b) => b[1] - a[1]);
  return best >= 1.5 && best > next * 1.25 && best / words.length > 0.2 ? tag : "";
}
