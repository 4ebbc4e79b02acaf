// What the page begins with: short passages on many things, written for it, and
// what to ask of them.

export const QUERIES = [
  "animals that find their way home",
  "workers who fear for their jobs",
  "how can I sleep better?",
  "a disappointed customer",
  "the first computer program",
];

export const SAMPLE = `The Arctic tern sees more daylight than any other animal: every year it flies from the Arctic to the Antarctic and back again.

Homing pigeons that are let go in an unknown place circle once or twice, then set off for their loft. They seem to use the sun, smells and the magnetic field of the Earth.

A salmon returns from the ocean to the stream where it hatched, guided over the last miles by the smell of the water.

An octopus has three hearts and blue blood, because its blood carries oxygen with copper instead of iron.

Karl von Frisch showed that a honeybee tells the others where the flowers are by dancing: the angle is the direction, the length of the run the distance.

Bowhead whales can live for two hundred years. Hunters in Alaska have found harpoon points from the nineteenth century in them.

Coral reefs cover less than one percent of the sea floor, but a quarter of all the fish in the sea depend on them.

A sourdough starter is flour, water and patience. Feed it every day for a week, and it will raise your bread for years.

Cook the onions slowly, for at least forty minutes. Rushed onions burn before they turn sweet.

Salt the water for pasta well, and keep a cup of it back: its starch binds the sauce.

A dull knife is more dangerous than a sharp one, since it slips where it should cut.

Ada Lovelace published her notes on Charles Babbage's Analytical Engine in 1843. One of them holds what many call the first computer program.

In 1947 engineers at Harvard taped a moth into the logbook of their Mark II computer: the first actual case of a bug being found.

In 1950 Alan Turing proposed to replace the question whether machines can think by a game of imitation.

In 1811 the stocking makers of Nottingham broke the new frames by night. It was not the machines they hated, but what they would do to wages.

Margaret Hamilton led the team at MIT that wrote the flight software of Apollo. It dropped the less important work when the computer was overloaded, minutes before the landing.

Voyager 1, launched by NASA in 1977, left the bubble of the solar wind in 2012 and still sends what it measures beyond it.

Light from the Sun takes eight minutes and twenty seconds to reach us. If the Sun went out, we would not know for as long.

The Moon moves away from the Earth by almost four centimetres a year, about as fast as fingernails grow.

In January 1610 Galileo Galilei saw in Padua that four small stars accompany Jupiter. They were moons, and the Earth was no longer the centre of everything.

The notebooks of Marie Curie are still radioactive. In Paris they are kept in boxes lined with lead.

After Mount Tambora erupted in 1815 there was no summer in Europe. On Lake Geneva the rain kept Mary Shelley indoors, and she began to write Frankenstein.

The Great Fire of London began in 1666 in a bakery in Pudding Lane and burned for four days.

In 1822 Jean-François Champollion read the hieroglyphs of the Rosetta Stone. It says the same thing in two languages and three scripts.

Paper came to Europe slowly: from China along the Silk Road to Samarkand and Baghdad, and at last, centuries later, to Spain.

Venice stands on wooden piles that were driven into the mud. They do not rot, because no air reaches them there.

In 2017 a railway company in Japan apologised because one of its trains had left twenty seconds early.

About nine of ten houses in Iceland are heated with hot water out of the ground.

Every year the wind carries dust from the Sahara over the Atlantic, and the phosphorus in it feeds the forests of the Amazon.

Get up at the same hour every day, keep the bedroom dark and cool, and leave the phone in another room at night.

A short walk every half hour does more for a stiff back than an expensive chair.

You remember more of a chapter when you close the book and try to recall it than when you read it twice.

In Vienna in 1847, Ignaz Semmelweis had the doctors wash their hands. Far fewer mothers died, and his colleagues were offended.

In 1796 Edward Jenner gave a boy cowpox, which is harmless, to protect him from smallpox, which was not.

We stayed for three nights at the little hotel by the harbour. The staff were kind, the breakfast was superb, and we would go back tomorrow.

The headphones broke after a week, the shop never answered my letters, and I am still waiting for my money.

The violinist played as if nobody were listening, and nobody in the hall dared to cough.

In 1705 Johann Sebastian Bach walked four hundred kilometres from Arnstadt to Lübeck to hear Dieterich Buxtehude play the organ.

Ludwig van Beethoven was almost deaf when his Ninth Symphony was first played in Vienna in 1824. A singer had to turn him around so that he saw the applause.

In the winter of 1637 a single tulip bulb in Holland was offered for the price of a house. In February the buyers stopped coming.

At seven percent a year, money doubles in about ten years, and in fifty it is thirty times as much.

Four unrelated words make a password that is easier to remember and harder to guess than eight strange characters.

Water tomatoes at the root, deeply but not every day, and pinch out the shoots that grow between stem and leaf.`;
